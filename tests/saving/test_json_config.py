"""Configurations from files: JSON with limits."""

import json
import tracemalloc

import pytest

from minicnn.errors import DataError
from minicnn.saving import json_config
from minicnn.saving.json_config import parse_config


def test_reads():
    config = {"a": [1, 2.5, None, True, 'x\\"[{ä'], "b": {"c": {}}}
    assert parse_config(json.dumps(config).encode(), "x") == config


def nested(depth, opening=b'{"a":', closing=b"}"):
    return opening * (depth - 1) + b"{}" + closing * (depth - 1)


def layers(count):
    return b'{"config": {"layers": [' + b",".join([b"{}"] * count) + b"]}}"


@pytest.mark.parametrize("content", [nested(64), layers(10_000), b'{"a": "' + b"[" * 99 + b'"}'])
def test_at_the_limit(content):
    parse_config(content, "x")


BAD = {
    "too long": (b'{"a": "' + b" " * (16 << 20) + b'"}', "at most 16777216 bytes"),
    "65 deep": (nested(65), "at most 64 levels"),
    "10,000 deep": (nested(10_000), "at most 64 levels"),
    "a quarter of a million deep": (b"[" * (1 << 18), "at most 64 levels"),
    "10,001 layers": (layers(10_001), "at most 10000 layers. Received 10001"),
    "layers in layers": (b'{"a": [' + b",".join([layers(1001)] * 10) + b"]}", "Received 10010"),
    "too many values": (b'{"a":[' + b"0," * 500_001 + b"0]}", "at most 500000 values"),
    "too many objects": (b'{"a":[' + b"{}," * 300_000 + b"{}]}", "at most 500000 values"),
    "duplicate names": (b'{"a": 1, "a": 2}', "Received 'a' twice"),
    "duplicate names by escapes": (b'{"a": 1, "\\u0061": 2}', "Received 'a' twice"),
    "NaN": (b'{"a": NaN}', "finite numbers. Received NaN"),
    "Infinity": (b'{"a": -Infinity}', "finite numbers. Received -Infinity"),
    "overflow": (b'{"a": 1e999}', "finite numbers. Received 1e999"),
    "10,000 digits": (b'{"a": ' + b"9" * 10_000 + b"}", "must be JSON"),
    "a list": (b"[]", "a JSON object. Received list"),
    "text": (b"import os", "must be JSON"),
    "empty": (b"", "must be JSON"),
    "a comment": (b"{} // x", "must be JSON"),
    "cut off": (b'{"a": "', "must be JSON"),
    "cut off behind a backslash": (b'{"a": "\\', "must be JSON"),
    "quotes that never end": (b'"\\"' * (4 << 20) + b"\\", "must be JSON"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "must be JSON"),
    "no UTF-8": (b'{"a": "\xff"}', "must be JSON"),
    "a pickle": (b"cos\nsystem\n(S'touch x'\ntR.", "must be JSON"),
}


@pytest.mark.parametrize(("content", "words"), BAD.values(), ids=BAD)
def test_refused(content, words):
    with pytest.raises(DataError) as caught:
        parse_config(content, "'m.keras': config.json")
    assert words in str(caught.value) and str(caught.value).startswith("'m.keras': config.json must ")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("value", [b"{}", b'{"":{}}', b'{"a":0}', b'"\\u0100"'])
def test_what_limits_let_through_stays_small(value):
    """A tenth of the largest file of small values that the limits allow, under a tenth of 200 MB."""
    per_value = 1 + sum(map(value.count, (b"{", b"[")))
    content = b'{"a":[' + b",".join([value] * (json_config.MAX_VALUES // per_value // 10)) + b"]}"
    tracemalloc.start()
    try:
        parse_config(content, "x")
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
