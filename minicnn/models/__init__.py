"""Models: Sequential, and prefixes of chains with one or several outputs."""

from minicnn.models.cloning import clone_model
from minicnn.models.model import Model
from minicnn.models.sequential import Sequential

__all__ = ["Model", "Sequential", "clone_model"]
