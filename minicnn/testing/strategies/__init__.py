"""Hypothesis strategies: geometries first, then the arrays that fit them, then whole cases.

    from hypothesis import given
    from minicnn.testing import strategies as cnn

    @given(cnn.conv_cases())
    def test_mine(case):
        y = mine(case.x, case.w, case.b, **case.geometry.options())

Everything is composable: ``cnn.conv_cases(geometries=my_strategy, values=["ties"])``, ``cnn.arrays(shape)``
next to your own strategies, or ``cnn.make_array`` and ``cnn.lay_out`` with no Hypothesis at all.
"""

from minicnn.testing.geometry import ClassGeometry, ConvGeometry, DenseGeometry, PoolGeometry
from minicnn.testing.strategies.arrays import (
    EXACT_VALUES,
    FINITE_VALUES,
    LAYOUTS,
    MODERATE_VALUES,
    VALUES,
    arrays,
    lay_out,
    make_array,
)
from minicnn.testing.strategies.cases import (
    ArrayCase,
    ClassCase,
    ConvCase,
    DenseCase,
    PoolCase,
    array_cases,
    class_cases,
    conv_cases,
    dense_cases,
    pool_cases,
)
from minicnn.testing.strategies.geometries import (
    class_geometries,
    conv_geometries,
    dense_geometries,
    pool_geometries,
    shapes,
)

__all__ = [
    "EXACT_VALUES",
    "FINITE_VALUES",
    "LAYOUTS",
    "MODERATE_VALUES",
    "VALUES",
    "ArrayCase",
    "ClassCase",
    "ClassGeometry",
    "ConvCase",
    "ConvGeometry",
    "DenseCase",
    "DenseGeometry",
    "PoolCase",
    "PoolGeometry",
    "array_cases",
    "arrays",
    "class_cases",
    "class_geometries",
    "conv_cases",
    "conv_geometries",
    "dense_cases",
    "dense_geometries",
    "lay_out",
    "make_array",
    "pool_cases",
    "pool_geometries",
    "shapes",
]
