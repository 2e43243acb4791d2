"""String identifiers, and objects to and from Keras's configuration dicts: one mechanism for every kind of object.

A configuration is `{"module": "keras.losses", "class_name": …, "config": …, "registered_name": None}`, as
keras/src/saving/serialization_lib.py writes it; a built-in function is its name. Modules are written under Keras's
names, so that either library reads what the other wrote, and are read under Keras's or ours.

Each public module owns a `Registry` of what it knows by name. `serialize_object` and `deserialize_object` work on any
kind; the latter calls nothing but classes that the named module, one of `KINDS`, exports, or that the caller passed.
"""

import inspect
import reprlib
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from minicnn.errors import MALFORMED

KINDS = (
    "activations", "initializers", "layers", "losses", "metrics", "models", "optimizers", "optimizers.schedules",
    "regularizers",
)  # fmt: skip
"""Public modules whose classes a configuration may name."""

KERAS_HOMES = {"models": "keras"}
"""Kinds that Keras exports somewhere else than in keras.<kind>."""

FUNCTIONAL = "keras.src.models.functional", "Functional"
"""What a Model made of tensors is in Keras: a class that it doesn't export."""


class Registry:
    """What one public module knows by name.

    Args:
        kind: how errors call one of these objects, with its article left out: 'loss'.
        module: the public module: 'losses'.
        objects: classes and functions, known by their `__name__`.
        aliases: further names.
        ignores_case: whether 'adam' and 'ADAM' mean Adam.
    """

    def __init__(
        self,
        kind: str,
        module: str,
        objects: tuple[Any, ...],
        aliases: Mapping[str, Any] | None = None,
        *,
        ignores_case: bool = False,
    ) -> None:
        self.kind = kind
        self.module = module
        self._fold = str.lower if ignores_case else str
        self._names = [item.__name__ for item in objects] + list(aliases or {})
        self._objects = {self._fold(item.__name__): item for item in objects}
        self._objects |= {self._fold(name): item for name, item in (aliases or {}).items()}

    def get(self, identifier: Any) -> Any:
        """The object that `identifier` means: a name, a configuration, a class (called without arguments), an object.

        Raises:
            ValueError: none of those, or a name that isn't known.
        """
        if isinstance(identifier, str):
            return _instance(self.find(identifier))
        if isinstance(identifier, Mapping):
            return self.deserialize(identifier)
        if callable(identifier) or hasattr(identifier, "get_config"):
            return _instance(identifier)
        raise ValueError(f"Could not interpret {self.kind} identifier: {identifier!r}. {self._expected()}")

    def find(self, name: str) -> Any:
        """The class or function called `name`.

        Raises:
            ValueError: none is.
        """
        found = self._objects.get(self._fold(name))
        if found is None:
            raise ValueError(f"Unknown {self.kind}: {name!r}. {self._expected()}")
        return found

    def knows(self, item: Any) -> bool:
        """Whether `item` is one of the classes and functions themselves."""
        return any(item is known for known in self._objects.values())

    def serialize(self, item: Any) -> Any:
        """The configuration of an object, the name of a function, None for None.

        Raises:
            ValueError: a function that has no name here.
        """
        if item is None or hasattr(item, "get_config"):
            return serialize_object(item)
        if self.knows(item):
            return item.__name__
        raise ValueError(f"Only a known {self.kind} can be serialized. Received {item!r}. {self._expected()}")

    def deserialize(self, config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
        """The object that `serialize` was given; `custom_objects` maps further names to classes and functions.

        Raises:
            ValueError: not a configuration, or one of something unknown.
        """
        if config is None:
            return None
        custom = custom_objects or {}
        if isinstance(config, str):
            return _instance(custom[config] if config in custom else self.find(config))
        name, arguments = _read(config)
        if name == "function" and isinstance(arguments, str):
            return custom[arguments] if arguments in custom else self.find(arguments)
        if name in custom:
            return _from_config(custom[name], arguments)
        _check_module(config, self.module)
        return _from_config(self.find(name), arguments)

    def _expected(self) -> str:
        return f"Expected one of: {', '.join(sorted(set(self._names), key=str.lower))}."


def serialize_object(item: Any) -> Any:
    """The configuration of an object with `get_config`; plain values are what they are."""
    if not hasattr(item, "get_config"):
        return item
    cls, name = type(item), class_name(item)
    home = FUNCTIONAL[0] if name == FUNCTIONAL[1] else _public_module(cls)
    return {
        "module": home or cls.__module__,
        "class_name": name,
        "config": item.get_config(),
        "registered_name": None if home and home != FUNCTIONAL[0] else name,
    }


def class_name(item: Any) -> str:
    """The name of an object's class, as Keras has it."""
    cls = type(item)
    return (
        FUNCTIONAL[1] if (cls.__module__, cls.__name__) == ("minicnn.models.model", "Model") else cls.__name__
    )


def deserialize_object(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """The object that `serialize_object` was given, of whatever kind.

    Raises:
        ValueError: a class that neither a public module nor `custom_objects` has.
    """
    if not isinstance(config, Mapping):
        return config
    name, arguments = _read(config)
    if custom_objects and name in custom_objects:
        return _from_config(custom_objects[name], arguments, custom_objects)
    kind = _kind_of(config)
    exported = "Model" if name == FUNCTIONAL[1] else name
    cls = getattr(import_module(f"minicnn.{kind}"), exported, None) if kind else None
    if inspect.isclass(cls) and cls.__module__.startswith("minicnn.") and hasattr(cls, "from_config"):
        return _from_config(cls, arguments, custom_objects)
    raise ValueError(
        f"Unknown class {name!r} of module {config.get('module')!r}. Pass it in `custom_objects` if it is your own."
    )


def deserialize_layer(config: Any, custom_objects: Mapping[str, Any] | None = None) -> Any:
    """As `deserialize_object`, for a layer of a model.

    Raises:
        ValueError: the message says which layer it is about.
    """
    name, arguments = _read(config)
    try:
        return deserialize_object(config, custom_objects)
    except ValueError as error:
        called = f" {arguments['name']!r}" if isinstance(arguments, Mapping) and "name" in arguments else ""
        raise ValueError(f"Layer{called} ({name}): {error}") from None


def _read(config: Any) -> tuple[str, Any]:
    """(class name, configuration), checked for form."""
    if (
        not isinstance(config, Mapping)
        or not isinstance(config.get("class_name"), str)
        or "config" not in config
    ):
        raise ValueError(
            f"A configuration must be a dict with 'class_name' and 'config'. Received {reprlib.repr(config)}."
        )
    return config["class_name"], config["config"]


def _kind_of(config: Mapping[str, Any]) -> str | None:
    """The public module that a configuration names."""
    module = config.get("module")
    if module == FUNCTIONAL[0]:
        return "models"
    return next(
        (kind for kind in KINDS if module in (_keras_home(kind), f"keras.{kind}", f"minicnn.{kind}")), None
    )


def _check_module(config: Mapping[str, Any], kind: str) -> None:
    module = config.get("module")
    if module is not None and kind != _kind_of(config):
        raise ValueError(
            f"{config['class_name']!r} comes from module {module!r}, not from {_keras_home(kind)!r}. Pass it in "
            "`custom_objects` if it is your own."
        )


def _public_module(cls: type) -> str | None:
    """Keras's name of the public module that exports `cls`, None for a class from outside."""
    homes = [kind for kind in KINDS if f"{cls.__module__}.".startswith(f"minicnn.{kind}.")]
    return _keras_home(max(homes, key=len)) if homes else None


def _keras_home(kind: str) -> str:
    return KERAS_HOMES.get(kind, f"keras.{kind}")


def _instance(item: Any) -> Any:
    """The object, or one of the class, made without arguments."""
    if not inspect.isclass(item):
        return item
    try:
        return item()
    except TypeError as error:
        raise ValueError(f"{item.__name__} can't be made without arguments: {error}.") from None


def _from_config(
    cls: Callable[..., Any], arguments: Any, custom_objects: Mapping[str, Any] | None = None
) -> Any:
    """Build an object of a class, or hand back a function. A model passes `custom_objects` on to its layers."""
    if not inspect.isclass(cls):
        return cls
    if not isinstance(arguments, Mapping):
        raise ValueError(
            f"The configuration of {cls.__name__} must be a dict. Received {reprlib.repr(arguments)}."
        )
    from_config = getattr(cls, "from_config", None)
    more = {}
    if custom_objects and from_config and "custom_objects" in inspect.signature(from_config).parameters:
        more["custom_objects"] = custom_objects
    try:
        return from_config(dict(arguments), **more) if from_config else cls(**arguments)
    except MALFORMED as error:
        raise ValueError(
            f"{cls.__name__} can't be made from the configuration {reprlib.repr(dict(arguments))}: "
            f"{type(error).__name__}: {error}."
        ) from None
