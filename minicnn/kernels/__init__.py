"""Numba kernels that write into buffers they are given; see README.md. The engine imports them when first used."""

from minicnn.kernels import _simd_lowering  # noqa: F401 (registers the vector instructions)
