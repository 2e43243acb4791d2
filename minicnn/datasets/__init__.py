"""Data sets that come with the package, under Keras's names."""

from . import mnist, shapes

__all__ = ["mnist", "shapes"]
