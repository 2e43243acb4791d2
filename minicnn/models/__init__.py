"""Models: Sequential, and prefixes of chains with one or several outputs."""

from minicnn.models.cloning import clone_model
from minicnn.models.model import Model
from minicnn.models.sequential import Sequential
from minicnn.saving.keras_file import load_model, save_model

__all__ = ["Model", "Sequential", "clone_model", "load_model", "save_model"]
