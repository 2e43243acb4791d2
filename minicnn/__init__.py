"""minicnn: the small Keras convnet that learns MNIST, from scratch in NumPy and Numba, proven equal to Keras."""

__version__ = "0.1.0"
