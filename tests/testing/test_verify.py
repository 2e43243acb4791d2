"""Targets by name: what is planned, what a file may hold, what the report says, and what is written."""

from __future__ import annotations

import io
import json
import shlex
import sys
from pathlib import Path

import pytest

from minicnn.testing import verify
from minicnn.testing.adapters import load
from minicnn.testing.report import DIFFERS, FAILS, HOLDS, NOT_RUN, Failure, PropertyResult, Report

# One file with every op, each right; a mistake is a replacement of one piece of text.
LAYERS = '''
import numpy as np

def _sizes(size, k, s, padding):
    if padding not in ("valid", "same") or s < 1 or k < 1:
        raise ValueError("no such window")
    out = -(-size // s) if padding == "same" else (size - k) // s + 1
    total = max((out - 1) * s + k - size, 0) if padding == "same" else 0
    if out < 1:
        raise ValueError("too small")
    return out, total // 2, total - total // 2

def _windows(x, size, strides, padding, fill):
    """Windows (N, OH, OW, P, Q, C)."""
    (oh, top, bottom), (ow, left, right) = (
        _sizes(n, k, s, padding) for n, k, s in zip(x.shape[1:3], size, strides))
    x = np.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), constant_values=fill)
    w = np.lib.stride_tricks.sliding_window_view(x, size, (1, 2))[:, :: strides[0], :: strides[1]]
    return np.moveaxis(w, 3, -1)[:, :oh, :ow]

def conv(x, kernel, bias=None, *, strides=(1, 1), padding="valid"):
    if x.shape[3] != kernel.shape[2]:
        raise ValueError("channels")
    y = np.einsum("nijpqc,pqcf->nijf", _windows(x, kernel.shape[:2], strides, padding, 0), kernel)
    return y if bias is None else y + bias

def max_pool(x, *, pool_size=(2, 2), strides=None, padding="valid"):
    return _windows(x, pool_size, strides or pool_size, padding, -np.inf).max((3, 4))

def average_pool(x, *, pool_size, strides, padding):
    w = _windows(x, pool_size, strides, padding, 0)
    ones = _windows(np.ones_like(x), pool_size, strides, padding, 0)
    return w.sum((3, 4)) / ones.sum((3, 4))

def dense(x, kernel, bias):
    return x @ kernel + bias

def dense_backward(dy, x, kernel):
    return dy @ kernel.T, x.T @ dy, dy.sum(0)

def flat(x):
    return x.reshape(len(x), -1)

def relu(x):
    return np.maximum(x, 0)

def relu_backward(dy, x):
    return dy * (x > 0)

def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)

def crossentropy(y_true, y_pred):
    p = np.clip(y_pred / y_pred.sum(-1, keepdims=True), 1e-7, 1 - 1e-7)
    return -(y_true * np.log(p)).sum(-1).mean()

def logits_loss(y_true, y_pred):
    z = y_pred - y_pred.max(-1, keepdims=True)
    logs = np.log(np.exp(z).sum(-1)) - z[np.arange(len(z)), y_true]
    return logs.mean()

def sgd(w, dw, state, *, learning_rate, momentum=0.0):
    v = momentum * (np.zeros_like(w) if state is None else state) - learning_rate * dw
    v = v.astype(w.dtype)
    return w + v, v
'''
RIGHT = {
    "conv": "conv2d",
    "max_pool": "max_pooling2d",
    "average_pool": "average_pooling2d",
    "dense": "dense",
    "flat": "flatten",
    "relu": "activation:relu",
    "softmax": "softmax",
    "crossentropy": "crossentropy:categorical",
    "logits_loss": "crossentropy:sparse:from_logits",
    "sgd": "optimizer:sgd",
}
WRONG = {
    "conv": ("total // 2, total - total // 2", "total - total // 2, total // 2", "padding is explicit zeros"),
    "max_pool": ("padding, -np.inf", "padding, 0", "padding takes no part"),
    "average_pool": (
        "ones_like(x), pool_size, strides, padding, 0",
        "ones_like(x), pool_size, strides, padding, 1",
        "padding takes no part",
    ),
    "dense": ("x.T @ dy", "x.T @ dy / len(x)", "gradients equal the oracle's exactly"),
    "flat": ("reshape(len(x), -1)", "reshape(len(x), -1, order='F')", "equals the oracle"),
    "relu": ("np.maximum(x, 0)", "np.fmax(x, 0)", "NaN stays NaN"),
    "softmax": ("x - x.max(-1, keepdims=True)", "x", "extreme logits"),
    "crossentropy": (".sum(-1).mean()", ".mean()", "equals the oracle"),
    "logits_loss": ("logs.mean()", "logs.sum()", "a doubled batch has the same mean"),
    "sgd": ("return w + v, v", "return w - v, v", "equals the oracle"),
}  # fmt: skip


@pytest.fixture
def file(tmp_path: Path):
    def write(text: str = LAYERS, name: str = "my layers.py") -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize(("function", "op"), RIGHT.items())
def test_every_op_can_be_a_plain_function(function: str, op: str, file) -> None:
    verification = verify.run(f"{file()}:{function}", op, examples=25)
    verification.reports[0].raise_if_failed()
    assert verification.ok and verification.reports[0].op == op.partition(":")[0]


@pytest.mark.parametrize(("function", "wrong"), WRONG.items())
def test_a_mistake_in_each_is_found(function: str, wrong: tuple[str, str, str], file) -> None:
    old, new, name = wrong
    assert LAYERS.count(old) == 1
    target = f"{file(LAYERS.replace(old, new))}:{function}"
    verification = verify.run(target, RIGHT[function], properties=[name])
    result = verification.reports[0][name]
    assert not verification.ok and result.verdict == FAILS and result.failure is not None
    words = shlex.split(result.failure.reproduce)
    assert words[:2] == ["minicnn", "verify"] and words[words.index("--target") + 1] == target
    assert words[words.index("--op") + 1] == RIGHT[function] and words[words.index("--property") + 1] == name


def test_without_backward_the_gradient_properties_are_listed_as_not_run(file) -> None:
    target = f"{file()}:conv"
    report = verify.run(target, examples=5).reports[0]
    idle = [r for r in report.results if r.verdict == NOT_RUN and "backward" in r.note]
    gradients = [
        r for r in report.results if any(word in r.name for word in ("gradient", "adjoint", "backward", "dw"))
    ]
    assert len(idle) >= 6 and {r.name for r in idle} == {r.name for r in gradients}
    assert str(report).count("needs backward") == len(idle)


def test_the_gradient_of_a_function_is_the_one_named_after_it(file) -> None:
    report = verify.run(f"{file()}:relu", "activation:relu", examples=20).reports[0]
    assert report["the gradient is a valid subgradient"].verdict == HOLDS
    assert "gradients by `relu_backward` of the same file" in report.notes
    wrong = LAYERS.replace("dy * (x > 0)", "dy * (x > 1)")
    assert not verify.run(f"{file(wrong)}:relu", "activation:relu", examples=60).ok


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        ("x, kernel, bias=None, *, strides=(1, 1)", ["padding", "dilation_rate", "groups"]),
        ("x, kernel, bias=None, *, padding='valid'", ["strides", "dilation_rate", "groups"]),
        ("x, kernel", ["strides", "padding", "dilation_rate", "groups"]),
    ],
)
def test_arguments_not_taken_narrow_the_geometries(header: str, missing: list[str], file) -> None:
    text = (
        LAYERS
        + f"""
SEEN = []

def mine({header}):
    options = {{k: v for k, v in locals().items() if k in ("strides", "padding")}}
    SEEN.append(options)
    return conv(x, kernel, locals().get("bias"), **options)
"""
    )
    report = verify.run(f"{file(text)}:mine", examples=30).reports[0].raise_if_failed()
    for name in missing:
        assert f"takes no `{name}`: only its default is drawn" in str(report)
    assert ("takes no bias: none is passed" in report.notes) == ("bias" not in header)
    seen = sys.modules["_verified_my layers"].SEEN
    for name, default in (("strides", (1, 1)), ("padding", "valid")):
        assert any(options.get(name, default) != default for options in seen) == (name not in missing)


def test_dataclasses_and_neighbours_of_the_file_are_found(file) -> None:
    file("def negate(x):\n    return -x\n", "neighbour.py")
    text = "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom neighbour import negate\n"
    target = file(
        text + "@dataclass\nclass A:\n    a: int\n\ndef flat(x): return -negate(x).reshape(len(x), -1)\n"
    )
    assert verify.run(f"{target}:flat", "flatten", examples=10).ok


def test_a_file_may_hold_a_target(file) -> None:
    text = (
        LAYERS
        + "\nfrom minicnn.testing import Target\nMINE = Target('float32 only', 'flatten', flat, dtypes=(np.float32,))\n"
    )
    ((one, _),) = verify.plan(f"{file(text)}:MINE")
    assert (one.name, one.op, one.dtypes[0].__name__) == ("float32 only", "flatten", "float32")
    assert verify.run(f"{file(text)}:MINE", "flatten", examples=3).ok
    with pytest.raises(ValueError, match="has targets for flatten"):
        verify.plan(f"{file(text)}:MINE", "dense")


@pytest.mark.parametrize(
    ("text", "target", "op", "message"),
    [
        ("def f(:\n", "{}:f", None, "failed at line 1: SyntaxError"),
        ("\nimport nowhere_at_all\n", "{}:f", None, "failed at line 2: ModuleNotFoundError"),
        ("raise SystemExit(3)\n", "{}:f", None, "failed at line 1: SystemExit"),
        ("x = 1\n", "{}:f", None, "It has: none"),
        ("def f(x): pass\n", "{}:f", "conv7d", "must be one of conv2d, max_pooling2d"),
        ("def f(x): pass\n", "{}:f", "conv2d:relu", "must be conv2d alone"),
        ("def f(x): pass\n", "{}:f", "activation:relux", "activation:elu"),
        ("def f(x): pass\n", "{}:f", "crossentropy:ternary", "crossentropy:binary"),
        ("def f(x): pass\n", "{}:f", "optimizer:lion", "optimizer:adam"),
        ("def f(x): pass\n", "minicnn:reference", "optimizer:lion", "optimizer:rmsprop"),
    ],
)
def test_what_is_wrong_with_a_target_is_said(
    text: str, target: str, op: str | None, message: str, file
) -> None:
    with pytest.raises(ValueError, match=message):
        verify.plan(target.format(file(text)), op)


def test_unknown_properties_are_refused_with_those_that_there_are(file) -> None:
    with pytest.raises(ValueError, match=r"among: equals the oracle; .*Received: linear in z"):
        verify.plan(f"{file()}:flat", "flatten", ["equals the oracle", "linear in z"])


def test_properties_choose_among_all_ops() -> None:
    planned = verify.plan("minicnn:reference", None, ["sums to one", "linear in x"])
    assert [(one.op, names) for one, names in planned] == [
        ("conv2d", ["linear in x"]),
        ("softmax", ["sums to one"]),
    ]


def test_an_op_is_chosen_with_or_without_its_detail() -> None:
    everything = load("minicnn:reference")
    for op in ("activation", "optimizer", "conv2d"):
        assert len(verify.plan("minicnn:reference", op)) == len([t for t in everything if t.op == op])
    ((one, _),) = verify.plan("minicnn:reference", "activation:relu")
    assert one.parameters["name"] == "relu"
    with pytest.raises(ValueError, match="activation:relu"):
        verify.plan("minicnn:reference", "activation:rel")


def test_a_missing_framework_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "minicnn.testing.adapters.scipy", None)
    monkeypatch.delitem(sys.modules, "minicnn.testing.adapters.scipy")
    with pytest.raises(ImportError, match="needs scipy, which isn't installed: pip install scipy"):
        verify.plan("scipy")
    monkeypatch.setitem(sys.modules, "numba", None)
    with pytest.raises(ImportError, match="needs numba, which isn't installed: pip install numba"):
        verify.plan("minicnn:numba")


def test_a_declared_difference_is_listed_whether_it_shows_or_not() -> None:
    (one, _), *_ = verify.plan("minicnn:reference", "flatten")
    from dataclasses import replace

    names = ["equals the oracle", "results don't depend on batch splitting"]
    backwards = replace(
        one,
        forward=lambda x: x.reshape(len(x), -1)[:, ::-1],
        differences={name: f"why {name}" for name in names},
    )
    report = verify.check("minicnn:reference", backwards, names, examples=20)
    assert report[names[0]].verdict == DIFFERS and report[names[1]].verdict == HOLDS and report.ok
    text = str(report)
    assert f"documented: why {names[0]}" in text
    assert f"declared to differ in “{names[1]}”, which didn't show in these examples: why {names[1]}" in text


def test_versions_of_what_was_verified_are_in_the_report() -> None:
    pytest.importorskip("torch")
    report = verify.run("torch", "flatten", examples=2).reports[0]
    assert report.versions["torch"] and report.versions["torch"] in str(report)


def test_json_holds_the_results(file, tmp_path: Path) -> None:
    wrong = verify.run(
        f"{file(LAYERS.replace('x.reshape(len(x), -1)', 'x[::-1].reshape(len(x), -1)'))}:flat", "flatten"
    )
    verify.write(wrong, json_path=str(tmp_path / "out.json"))
    data = json.loads((tmp_path / "out.json").read_text())
    assert data["ok"] is False and data["target"].endswith("my layers.py:flat")
    result = next(r for r in data["reports"][0]["results"] if r["name"] == "equals the oracle")
    failure = result["failure"]
    assert result["verdict"] == FAILS and failure["got"] != failure["expected"] and failure["arrays"]["x"]


@pytest.mark.parametrize("moment", ["write_text", "replace"])
def test_a_file_is_written_whole_or_not_at_all(moment: str, file, tmp_path: Path, monkeypatch) -> None:
    done = verify.run(f"{file()}:flat", "flatten", examples=2)
    path = tmp_path / "out.json"
    path.write_text("the old file")

    def fail(*args, **kwargs):
        if moment == "write_text":
            with open(args[0], "w") as half:
                half.write("half")
        raise OSError("the disk is full")

    monkeypatch.setattr(Path if moment == "write_text" else verify.os, moment, fail)
    with pytest.raises(OSError, match="disk is full"):
        verify.write(done, json_path=str(path))
    assert path.read_text() == "the old file"
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["my layers.py", "out.json"]


def test_where_files_can_be_written(tmp_path: Path) -> None:
    verify.check_writable(tmp_path / "new.html")
    for path, words in ((tmp_path, "It is a folder"), (tmp_path / "no" / "x.html", "There is no")):
        with pytest.raises(OSError, match=words):
            verify.check_writable(path)


# The text


def _report() -> Report:
    failure = Failure(
        "y[0] is 1; 2 was expected", geometry={"pool_size": (2, 2)}, reproduce="minicnn verify …"
    )
    results = [
        PropertyResult("a", "any", HOLDS, 200, 0.0),
        PropertyResult("b", "any", HOLDS, 200, 0.123),
        PropertyResult("c", "any", FAILS, 7, failure=failure),
        PropertyResult("d", "any", NOT_RUN, note="needs backward"),
        PropertyResult("e", "any", DIFFERS, 3, note="documented so", failure=failure),
        PropertyResult("f", "any", HOLDS, 200),
    ]
    return Report("mine", "conv2d", 3, 200, results, ["a note"], {"numpy": "2"})


def test_the_text_of_a_report() -> None:
    assert (
        str(_report())
        == """\
conv2d of mine: 3 properties hold, 1 fails, 1 differs as documented, 1 not run
  seed 3, 200 examples a property; numpy 2
  note: a note

    property  verdict     examples  worst error / bound
  ✓ a         holds            200  exact
  ✓ b         holds            200  12.3 %
  ✗ c         fails        after 7
  – d         not run               needs backward
  ≠ e         differs      after 3  as documented
  ✓ f         holds            200

“c” fails: y[0] is 1; 2 was expected
  domain: any
  geometry: pool_size=(2, 2)
  reproduce: minicnn verify …

“e” differs as documented: y[0] is 1; 2 was expected
  documented: documented so
  geometry: pool_size=(2, 2)
  reproduce: minicnn verify …"""
    )


@pytest.mark.parametrize(("expected", "shown"), [(3.0, True), (4.0, False), (float("nan"), False)])
def test_terms_are_shown_only_if_they_sum_to_what_was_expected(expected: float, shown: bool) -> None:
    """A property may compare the op on other arrays than those of the report."""
    f = Failure(
        "", label="y", index=(0,), got=[9.0], expected=[expected], terms=[("x[0]", 1.0), ("x[1]", 2.0)]
    )
    report = Report("mine", "dense", 0, 1, [PropertyResult("p", "any", FAILS, 1, failure=f)])
    assert ("should be the sum of" in str(report)) == shown
    assert ("<td>x[1]<td>" in verify.Verification("mine", [report]).to_html()) == shown


def test_the_table_on_a_terminal_has_the_same_and_keeps_commands_whole() -> None:
    rich = pytest.importorskip("rich.console")
    report = _report()
    line = "minicnn verify " + "--property 'a long name' " * 8
    report["c"].failure.reproduce = line  # type: ignore[union-attr]
    console = rich.Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    console.print(verify.Verification("mine", [report]), crop=False)
    text = console.export_text()
    for part in ("✓ holds", "✗ fails", "≠ differs as documented", "12.3 %", "needs backward", "note: a note"):
        assert part in text
    assert line in text


def test_live_progress_names_op_and_property() -> None:
    rich = pytest.importorskip("rich.console")
    from minicnn.testing.watch import Watch

    def names(watch) -> str:
        return watch.progress.tasks[0].description

    console = rich.Console(width=200, file=io.StringIO(), force_terminal=True)
    with Watch([2, 1], console) as watch:
        watch.begin("mine", "dense", ["first", "second"])
        assert "dense of mine (1/2): [bold]first[/]" in names(watch)
        watch.advance(PropertyResult("first", "any", FAILS))
        assert "[bold]second[/]" in names(watch) and "1 failed" in names(watch)
        assert watch.progress.tasks[0].completed == 1 and watch.progress.tasks[0].total == 3
        watch.advance(PropertyResult("second", "any", HOLDS))
        watch.show(_report())
    assert "worst error / bound" in console.file.getvalue()
    plain = rich.Console(width=20, file=io.StringIO())
    with Watch([6], plain) as watch:
        watch.show(_report())
    assert plain.file.getvalue() == f"{_report()}\n\n"
