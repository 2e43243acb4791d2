"""Models on disk: Keras's formats, read with limits, written whole or not at all."""

from minicnn.saving.files import write_file
from minicnn.saving.keras_file import load_model, save_model
from minicnn.saving.weights import load_weights, save_weights

__all__ = ["load_model", "load_weights", "save_model", "save_weights", "write_file"]
