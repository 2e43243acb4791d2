"""Data sets that come with the package, under Keras's names."""

from . import mnist

__all__ = ["mnist"]
