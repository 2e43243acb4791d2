"""Nothing public computes without being compared with Keras: a new layer, loss or metric needs a row and a test."""

import ast
import importlib
import re
from functools import cache
from pathlib import Path

import pytest

from tests.keras.compared import COMPARED, DRAWN, NO_GRADIENT, NO_NUMBERS, PROCESS, SERVICES
from tests.keras.test_in_float64 import FILES

FOLDER = Path(__file__).parent


def public(kind):
    """Names of the classes and functions that a module of minicnn defines or re-exports, aliases left out."""
    module = importlib.import_module(f"minicnn.{kind}")
    names = getattr(module, "__all__", None) or [
        name for name, item in vars(module).items() if getattr(item, "__module__", None) == module.__name__
    ]
    # metrics.binary_crossentropy is losses.binary_crossentropy.
    own = [name for name in names if kind != "metrics" or not hasattr(importlib.import_module("minicnn.losses"), name)
           or isinstance(getattr(module, name), type)]  # fmt: skip
    return {
        name for name in own if not name.startswith("_") and getattr(module, name).__name__ == name
    } - SERVICES


@cache
def source(file):
    return (FOLDER / file).read_text()


@cache
def functions(file):
    """Test function → its source with its decorators."""
    tree = ast.parse(source(file))
    lines = source(file).splitlines()
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
            found[node.name] = "\n".join(lines[first - 1 : node.end_lineno])
    return found


@pytest.mark.parametrize("kind", COMPARED)
def test_every_public_name_has_a_row(kind):
    assert set(COMPARED[kind]) == public(kind)


ROWS = [(f"{kind}.{name}", row) for kind, names in COMPARED.items() for name, row in names.items()]


@pytest.mark.parametrize(("name", "row"), ROWS, ids=[name for name, _ in ROWS])
def test_every_row_names_tests_that_exist(name, row):
    *tests, float64 = row
    assert float64 in (DRAWN, PROCESS)
    for test in tests:
        if test in (NO_GRADIENT, NO_NUMBERS):
            continue
        file, _, function = test.partition("::")
        assert function in functions(file), f"{file} has no {function}"
        assert re.search(rf"\b{name.split('.')[-1]}\b", source(file)), f"{name} does not occur in {file}"
        if float64 == PROCESS:
            assert file in FILES
        else:
            assert re.search(r"DTYPES|float64", functions(file)[function]), f"{test} is not run in float64"
