"""Every op that the numba backend binds by itself, run through a plan of one op, against the reference backend."""

import numpy as np
import pytest

from minicnn.engine import numba_backend, ops, reference_backend
from minicnn.engine.parallel import Executor
from minicnn.engine.parameters import Variable
from minicnn.engine.plan import INPUT, make_plan
from minicnn.geometry import make_window

IMAGE = (5, 6, 4)
CONV = {"window": make_window((5, 6), (2, 3), padding="same"), "filters": 6}
WINOGRAD = {"window": make_window((6, 8), (3, 3), padding="same"), "filters": 32}
POOL = make_window((5, 6), (2, 2), (2, 2))
WITH_BIAS = ("kernel", "bias")

CASES = {
    "Conv2D": (ops.Conv2D(name="y", parameters=WITH_BIAS, **CONV), IMAGE),
    "Conv2D without bias": (ops.Conv2D(name="y", parameters=("kernel",), **CONV), IMAGE),
    "Conv2D in groups": (ops.Conv2D(name="y", parameters=WITH_BIAS, groups=2, **CONV), IMAGE),
    "ConvReLU": (ops.ConvReLU(name="y", parameters=WITH_BIAS, **CONV), IMAGE),
    "ConvReLU without bias": (ops.ConvReLU(name="y", parameters=("kernel",), **CONV), IMAGE),
    "ConvReLUPool": (ops.ConvReLUPool(name="y", parameters=WITH_BIAS, pool=POOL, **CONV), IMAGE),
    "Conv2D by Winograd": (ops.Conv2D(name="y", parameters=WITH_BIAS, **WINOGRAD), (6, 8, 32)),
    "ConvReLU by Winograd": (ops.ConvReLU(name="y", parameters=("kernel",), **WINOGRAD), (6, 8, 32)),
    "ConvReLUPool by Winograd": (
        ops.ConvReLUPool(
            name="y", parameters=WITH_BIAS, pool=make_window((6, 8), (2, 2), (2, 2)), **WINOGRAD
        ),
        (6, 8, 32),
    ),
    "Dense": (ops.Dense(name="y", parameters=WITH_BIAS, units=3), (5, 4)),
    "Dense without bias": (ops.Dense(name="y", parameters=("kernel",), units=3), (4,)),
    "DenseReLU": (ops.DenseReLU(name="y", parameters=WITH_BIAS, units=3), (4,)),
    "MaxPool2D": (ops.MaxPool2D(name="y", window=make_window((5, 6), (3, 2), (2, 1), "same")), IMAGE),
    "MaxPool2D of many taps": (ops.MaxPool2D(name="y", window=make_window((16, 16), (16, 16))), (16, 16, 1)),
    "AveragePool2D": (ops.AveragePool2D(name="y", window=make_window((5, 6), (3, 2), (2, 1), "same")), IMAGE),
    "GlobalAveragePool2D": (ops.GlobalAveragePool2D(name="y"), IMAGE),
    "RandomAffine": (
        ops.RandomAffine(
            name="y",
            kind="rotation",
            bounds=((-0.3, 0.3),),
            seed=7,
            fill_mode="reflect",
            interpolation="bilinear",
        ),
        IMAGE,
    ),
    "RandomAffine that copies": (
        ops.RandomAffine(name="y", kind="horizontal", bounds=((0.0, 1.0),), seed=7),
        IMAGE,
    ),
    "ReLU": (ops.ReLU(name="y"), IMAGE),
    "Softmax": (ops.Softmax(name="y"), (3, 4)),
    "SoftmaxCrossEntropy": (ops.SoftmaxCrossEntropy(name="y"), (3, 4)),
}


def results(op, shape, backend, capacity, **wants):
    """Output, losses, gradients of the weights and of the input, by name; what isn't wanted is missing."""
    rng, n = np.random.default_rng(5), 3
    variables = [
        Variable(rng.normal(size=size), name=path)
        for path, size in zip(op.parameters, op.parameter_shapes(shape), strict=True)
    ]
    x = rng.normal(size=(n, *shape))
    plan = make_plan([op], shape, capacity, training=True, backend=backend, dtype="float64", **wants)
    executor = Executor(plan, [v for v in variables if v.path in plan.gradients])
    is_loss = isinstance(op, ops.Loss)
    target = np.eye(shape[-1])[rng.integers(0, shape[-1], (n, *shape[:-1]))] if is_loss else None
    seed = rng.normal(size=(n, *(shape[:-1] if is_loss else op.output_shape(shape))))
    batch = executor.run({v.path: v.array for v in variables}, x, target=target, seed=seed)
    found = {"y": batch.outputs, "losses": batch.losses, "dx": batch.value_gradients.get(INPUT)}
    found |= dict(zip(plan.gradients, (g.copy() for g in executor.gradients), strict=True))
    return {name: array for name, array in found.items() if array is not None}


@pytest.mark.parametrize("capacity", [1, 3])
@pytest.mark.parametrize("name", CASES)
def test_both_backends_compute_the_same(name, capacity):
    op, shape = CASES[name]
    kinds = [{"gradients": op.parameters, "value_gradients": [INPUT]}]
    if op.parameters:
        kinds += [{"gradients": op.parameters}, {"value_gradients": [INPUT]}]
    for wants in kinds:
        ours, theirs = (results(op, shape, backend, capacity, **wants) for backend in ("numba", "reference"))
        assert ours.keys() == theirs.keys()
        assert len(ours) == 1 + len(wants.get("gradients", ())) + len(wants.get("value_gradients", ())) + (
            "losses" in ours
        )
        for key, array in ours.items():
            # Sums of at most 288 products of normal numbers, in another order.
            np.testing.assert_allclose(array, theirs[key], rtol=1e-12, atol=1e-12, err_msg=key)
            assert array.any()


def test_every_binding_of_the_numba_backend_is_in_the_table():
    own = {
        kind
        for kind, binding in numba_backend.BINDINGS.items()
        if reference_backend.BINDINGS[kind] is not binding
    }
    assert own - {type(op) for op, _ in CASES.values()} == set()


@pytest.mark.parametrize(
    ("op", "shape", "expected"),
    [
        (ops.ZeroPad2D(name="y", pads=((1, 2), (0, 3))), (4, 5, 2), (7, 8, 2)),
        (ops.Transpose(name="y", axes=(2, 0, 1)), (4, 5, 2), (2, 4, 5)),
        (ops.GlobalMaxPool2D(name="y"), (4, 5, 2), (2,)),
        (ops.DenseReLU(name="y", units=3), (4, 5), (4, 3)),
        (ops.ConvReLUPool(name="y", pool=POOL, **CONV), IMAGE, (2, 3, 6)),
        (ops.Tanh(name="y"), (4, 5), (4, 5)),
    ],
)
def test_shapes(op, shape, expected):
    assert op.output_shape(shape) == expected
    assert make_plan([op], shape).output_shape == expected
