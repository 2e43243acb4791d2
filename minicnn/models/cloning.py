"""Copies of a model's architecture, with new weights."""

from minicnn.models.model import Model


def clone_model(model: Model) -> Model:
    """A model of the same layers under the same names, its weights drawn anew; it shares nothing with `model`.

    Raises:
        ValueError: not a model.
    """
    if not isinstance(model, Model):
        raise ValueError(f"`model` must be a Model. Received a {type(model).__name__}.")
    return type(model).from_config(model.get_config())
