"""Every public name that Keras has too takes the same arguments, in the same order, with the same defaults."""

import importlib
import inspect
from typing import NamedTuple

import pytest

from tests.keras.differences import SIGNATURES

MODULES = (
    "layers", "models", "losses", "optimizers", "metrics", "initializers", "callbacks", "utils", "activations",
    "config", "backend", "optimizers.schedules", "regularizers",
)  # fmt: skip
ANYTHING = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Compared(NamedTuple):
    path: str
    ours: object
    theirs: object
    owner: type | None = None


def public_names(module):
    return getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]


def everything_compared():
    """Classes' constructors, their methods, and functions, as far as both libraries have them."""
    for kind in MODULES:
        own, theirs = (importlib.import_module(f"{library}.{kind}") for library in ("minicnn", "keras"))
        for name in sorted(public_names(own)):
            item, their = getattr(own, name), getattr(theirs, name, None)
            if their is None or not getattr(item, "__module__", "").startswith("minicnn"):
                continue
            if not inspect.isclass(item):
                yield Compared(f"{kind}.{name}", item, their)
            elif name == item.__name__:  # not under its alias too: initializers.zeros is initializers.Zeros
                for method in dir(item):
                    if (method == "__init__" or not method.startswith("_")) and callable(
                        getattr(their, method, None)
                    ):
                        path = f"{kind}.{name}.{method}"
                        yield Compared(path, getattr(item, method), getattr(their, method), item)


def arguments(function, owner):
    """(name, default) of each argument; the object itself, *args and **kwargs left out."""
    parameters = [p for p in inspect.signature(function).parameters.values() if p.kind not in ANYTHING]
    bound = owner is not None and not inspect.ismethod(function)
    return [(p.name, p.default) for p in parameters[bound:]]


def says_nothing(function):
    """Keras's base classes often take (*args, **kwargs)."""
    named = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
    return bool(named) and all(p.kind in ANYTHING for p in named)


def reason(item):
    """The table's entry for this name, or for the method of a class it inherits from."""
    if item.owner is None:
        return SIGNATURES.get(item.path)
    kind, _, method = item.path.rsplit(".", 2)
    paths = (f"{kind}.{cls.__name__}.{method}" for cls in item.owner.__mro__)
    return next((SIGNATURES[path] for path in paths if path in SIGNATURES), None)


COMPARED = [item for item in everything_compared() if not says_nothing(item.theirs)]


@pytest.mark.parametrize("item", COMPARED, ids=[item.path for item in COMPARED])
def test_same_arguments(item):
    ours, theirs = (arguments(function, item.owner) for function in (item.ours, item.theirs))
    if reason(item) is None:
        assert ours == theirs
    elif item.path in SIGNATURES:
        assert ours != theirs, f"{item.path} is listed as different, and is the same."


def test_the_table_lists_nothing_that_is_not_compared():
    assert set(SIGNATURES) <= {item.path for item in COMPARED}


def test_enough_is_compared():
    """A helper that finds nothing would pass: these must be among what is compared."""
    paths = {item.path for item in COMPARED}
    assert {
        "layers.Conv2D.__init__",
        "layers.Dense.__init__",
        "models.Model.fit",
        "models.Sequential.evaluate",
        "losses.CategoricalCrossentropy.__init__",
        "optimizers.RMSprop.__init__",
        "metrics.TopKCategoricalAccuracy.__init__",
        "initializers.HeNormal.__init__",
        "callbacks.EarlyStopping.__init__",
        "utils.to_categorical",
        "activations.gelu",
        "models.clone_model",
    } <= paths
    assert len(paths) > 300
