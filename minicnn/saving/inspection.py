"""What a `.keras` file holds, without its weights."""

import hashlib
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from minicnn.engine.parameters import shapes_only
from minicnn.errors import DataError
from minicnn.saving.archive import parse_archive, read_file
from minicnn.saving.json_config import parse_config
from minicnn.saving.keras_file import CONFIG, METADATA, OPTIONS, SUFFIX, build
from minicnn.saving.weights import check_suffix


class Inspection(NamedTuple):
    model: Any
    """Its variables have shapes and no values."""
    compiled: dict[str, str]
    """The arguments of `compile` that aren't None, for people to read."""
    properties: dict[str, str]
    """Size, versions, SHA-256."""


def inspect_file(filepath: str | os.PathLike[str]) -> Inspection:
    """What is in a `.keras` file. Weights take no memory but the file's own.

    Raises:
        ValueError: a path that doesn't end in .keras; as DataError, a file that isn't such a file.
        OSError: the file can't be read at all.
    """
    check_suffix(filepath, SUFFIX)
    try:
        content = read_file(filepath)
        members = parse_archive(content)
    except DataError as error:
        raise DataError(f"'{filepath}' {error}") from None
    try:
        config, metadata = (parse_config(members[name], name) for name in (CONFIG, METADATA))
        options = parse_config(members[OPTIONS], OPTIONS) if OPTIONS in members else {}
        with shapes_only():
            model = build(config)
    except ValueError as error:
        raise DataError(f"'{filepath}' can't be inspected: {error}") from error
    compiled = config.get("compile_config") or {}
    properties = metadata | {name: value for name, value in options.items() if name != "seeds"}
    return Inspection(
        model,
        {name: readable(value) for name, value in dict(compiled).items() if value is not None},
        {name: readable(value) for name, value in properties.items()}
        | {"bytes": f"{len(content):,}", "sha256": hashlib.sha256(content).hexdigest()},
    )


def readable(value: Any) -> str:
    """A configuration as a call: Adam(learning_rate=0.001, beta_1=0.9); arguments that are None left out."""
    if isinstance(value, list):
        return ", ".join(readable(item) for item in value)
    if not isinstance(value, Mapping) or "class_name" not in value:
        return str(value)
    if value["class_name"] == "function":
        return str(value.get("config"))
    given = value.get("config")
    arguments = given.items() if isinstance(given, Mapping) else ()
    text = ", ".join(f"{k}={readable(v)}" for k, v in arguments if v is not None and k != "name")
    return f"{value['class_name']}({text})"
