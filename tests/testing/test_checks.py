"""The checks' machinery: what a report says, how a failure is explained, where domains end."""

from __future__ import annotations

import io
import json
import shlex
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from minicnn.testing import (
    CHECKS,
    Target,
    check_activation,
    check_conv2d,
    check_crossentropy,
    check_max_pooling2d,
    check_optimizer,
    oracles,
    parametrize_with_checks,
    verify,
)
from minicnn.testing import strategies as cnn
from minicnn.testing.adapters import load
from minicnn.testing.checks import conv2d_properties, pooling
from minicnn.testing.compare import Mismatch, close, same
from minicnn.testing.plugin import PROPERTIES
from minicnn.testing.report import DIFFERS, FAILS, HOLDS, NOT_RUN
from minicnn.testing.runner import evaluate
from minicnn.testing.shrinking import simplify
from tests.testing.mutants import RIGHT
from tests.testing.planted import conv2d as planted
from tests.testing.planted import pooling as planted_pooling
from tests.testing.planted.others import loss, relu, sgd

STUDENT = """
import numpy as np

def forward(x, kernel, *, strides=(1, 1)):
    p, q = kernel.shape[:2]
    oh, ow = (x.shape[1] - p) // strides[0] + 1, (x.shape[2] - q) // strides[1] + 1
    if min(oh, ow) < 1 or x.shape[3] != kernel.shape[2]:
        raise ValueError("does not fit")
    y = np.zeros((len(x), oh, ow, kernel.shape[3]), x.dtype)
    for i in range(oh):
        for j in range(ow):
            window = x[:, i * strides[0] : i * strides[0] + p, j * strides[1] : j * strides[1] + q]
            y[:, i, j] = np.tensordot(window, KERNEL, 3)
    return y
"""


@pytest.fixture
def student(tmp_path: Path):
    def write(kernel: str) -> str:
        path = tmp_path / "student.py"
        path.write_text(STUDENT.replace("KERNEL", kernel))
        return f"{path}:forward"

    return write


def test_a_right_student_passes_and_the_report_says_what_was_not_drawn(student) -> None:
    report = verify.run(student("kernel"), examples=30).reports[0]
    report.raise_if_failed()
    assert "takes no `padding`: only its default is drawn" in report.notes
    assert "takes no bias: none is passed" in report.notes
    assert report["padding is explicit zeros"].verdict == NOT_RUN
    assert report["gradients equal the oracle's exactly"].note == "needs backward"
    assert report["stride is subsampling"].verdict == HOLDS


def test_a_flipped_kernel_is_found_shrunk_and_named(student) -> None:
    report = verify.run(student("kernel[::-1, ::-1]"), examples=100).reports[0]
    assert not report.ok
    result = report["equals the oracle exactly"]
    failure = result.failure
    assert result.verdict == FAILS and failure is not None
    assert failure.diagnosis == [
        "matches a flipped kernel: this is convolution, Keras does cross-correlation"
    ]
    assert sorted(failure.geometry["kernel_size"]) == [1, 2] and failure.geometry["batch"] == 1
    assert np.count_nonzero(failure.arrays["x"]) == np.count_nonzero(failure.arrays["w"]) == 1
    assert len(failure.terms) == 2 and failure.index == (0, 0, 0, 0)
    text = str(report)
    assert "y[0, 0, 0, 0] should be the sum of" in text and failure.reproduce in text


def test_the_line_to_reproduce_reproduces(student) -> None:
    target = student("kernel[::-1, ::-1]")
    failure = (
        verify.run(target, properties=["linear in x", "equals the oracle exactly"])
        .reports[0]
        .failures[0]
        .failure
    )
    command = shlex.split(failure.reproduce)
    assert command[:2] == ["minicnn", "verify"]
    run = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, cwd=Path.cwd())
    assert run.returncode == 1, run.stderr
    assert failure.message in run.stdout and "linear in x" not in run.stdout


@pytest.mark.parametrize(
    ("mutant", "property_name", "diagnosis"),
    [
        ("SAME: odd row and column first", None, "TensorFlow puts it last"),
        ("SAME: k // 2 on both sides", None, "symmetric padding k//2"),
        ("bias missing", "equals the oracle exactly", "missing bias"),
        ("strides as (columns, rows)", "equals the oracle exactly", "strides given as (columns, rows)"),
        ("filters dealt to groups one by one", "equals the oracle exactly", "instead of in blocks"),
        ("channels reversed", None, "reversed input channels"),
        ("last row skipped", None, "last row of the output is missing"),
        ("dw: first example only", None, "first example only"),
        ("dw: mean over the batch", "gradients equal the oracle's exactly", "divided by the batch size"),
        ("dx: kernel flipped", "gradients equal the oracle's exactly", "not flipped on the way back"),
    ],
)
def test_known_mistakes_are_named(mutant: str, property_name: str | None, diagnosis: str) -> None:
    found = next(m for m in planted.MUTANTS if m.name == mutant)
    name = property_name or found.caught_by
    failure = check_conv2d(found.make(), properties=[name]).results[0].failure
    assert failure is not None and any(diagnosis in text for text in failure.diagnosis)


@pytest.mark.parametrize(
    ("mutant", "diagnosis"),
    [
        ("padded with 0 instead of −inf", "padding with 0 instead of −inf"),
        ("backward: ties to all maxima", "goes to every maximum"),
        ("backward: ties to the last maximum", "goes to the last maximum"),
        ("backward: overlapping windows overwritten", "overwritten instead of added"),
    ],
)
def test_known_pooling_mistakes_are_named(mutant: str, diagnosis: str) -> None:
    found = next(m for m in planted_pooling.MUTANTS if m.name == mutant)
    name = "equals the oracle" if "padded" in mutant else found.caught_by
    failure = check_max_pooling2d(found.make(), properties=[name]).results[0].failure
    assert failure is not None and any(diagnosis in text for text in failure.diagnosis)


def test_a_result_that_depends_on_earlier_calls_is_said_to() -> None:
    calls = []

    def forward(x, w, b=None):
        calls.append(1)
        return planted.conv2d(x, w, b) + (len(calls) == 3)

    failure = check_conv2d(forward, properties=["equals the oracle exactly"]).results[0].failure
    assert failure is not None and any("earlier calls" in text for text in failure.diagnosis)


def test_an_exception_is_a_failure_with_its_text() -> None:
    def forward(x, w, b=None):
        raise RuntimeError("not today")

    report = check_conv2d(forward, examples=5, properties=["linear in w"])
    assert "raised RuntimeError: not today" in report["linear in w"].failure.message


def test_a_documented_difference_is_reported_and_does_not_fail() -> None:
    text = "documented: convolution"
    flipped = next(m for m in planted.MUTANTS if m.name == "flipped kernel").make()
    target = replace(flipped, differences={"equals the oracle exactly": text})
    report = check_conv2d(target, properties=["equals the oracle exactly"], examples=30)
    assert report.ok and report.results[0].verdict == DIFFERS and report.results[0].note == text
    assert text in str(report)


def test_a_crash_is_no_documented_difference() -> None:
    def forward(x, w, b=None):
        raise MemoryError

    target = Target("crashes", "conv2d", forward, differences={"linear in x": "documented"})
    assert not check_conv2d(target, properties=["linear in x"], examples=3).ok


def test_nothing_run_is_not_ok() -> None:
    report = check_conv2d(lambda x, w: x, properties=["adjoint identity"])
    assert report.results[0].verdict == NOT_RUN and not report.ok


def test_the_same_seed_gives_the_same_report() -> None:
    mutant = next(m for m in planted.MUTANTS if m.name == "last row skipped").make()
    one, two = (check_conv2d(mutant, seed=5, properties=["equals the oracle exactly"]) for _ in range(2))
    assert one.to_json() == two.to_json()


def test_json_holds_everything_even_nan() -> None:
    mutant = next(m for m in planted.MUTANTS if m.name == "NaN replaced by zero").make()
    data = json.loads(check_conv2d(mutant, properties=["no NaN or infinity is hidden"]).to_json())
    assert data["ok"] is False and data["results"][0]["failure"]["geometry"]["padding"] in ("valid", "same")


def test_files_and_rich_table(student, tmp_path: Path) -> None:
    rich = pytest.importorskip("rich.console")
    verification = verify.run(student("kernel"), examples=5)
    verify.write(verification, html=str(tmp_path / "r.html"), json_path=str(tmp_path / "r.json"))
    assert (
        json.loads((tmp_path / "r.json").read_text())["ok"] is True
        and (tmp_path / "r.html").stat().st_size > 1000
    )
    console = rich.Console(record=True, width=140, file=io.StringIO())
    console.print(verification)
    assert "worst error / bound" in console.export_text()


def test_progress_is_told_of_every_property(student) -> None:
    seen = []
    verify.run(
        student("kernel"), examples=2, progress=lambda report, result: seen.append((report.op, result.name))
    )
    assert [name for _, name in seen] == [p.name for p in PROPERTIES["conv2d"]]


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: verify.run("tensorflow"), ValueError, "must be one of keras"),
        (lambda: verify.run("minicnn:reference", "conv7d"), ValueError, "has targets for"),
        (lambda: verify.run("/nowhere/at/all.py:f"), FileNotFoundError, "must exist"),
        (lambda: check_conv2d(lambda x, w: x, properties=["nonsense"]), ValueError, "nonsense"),
        (lambda: check_conv2d(3), TypeError, "function or a Target"),
        (lambda: check_conv2d(Target("a", "dense", relu)), TypeError, "must be a conv2d"),
        (lambda: check_activation(relu, "relux"), ValueError, "relux"),
        (lambda: check_crossentropy(loss, "ternary"), ValueError, "ternary"),
        (lambda: check_optimizer(sgd, "lion"), ValueError, "lion"),
        (lambda: check_optimizer(lambda w, dw, s: (w, s), "sgd"), TypeError, "learning_rate"),
    ],
)
def test_bad_calls_are_refused(call, error, text) -> None:
    with pytest.raises(error, match=text):
        call()


def test_a_missing_function_is_named(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def conv(x, kernel): return x\n")
    with pytest.raises(ValueError, match="It has: conv"):
        verify.run(f"{path}:forward")


def test_backward_beside_the_function_is_found(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "def forward(x): return x.reshape(len(x), -1)\ndef backward(dy, x): return dy.reshape(x.shape)\n"
    )
    report = verify.run(f"{path}:forward", "flatten", examples=5).reports[0]
    assert report["the gradient equals the oracle's"].verdict == HOLDS
    path.write_text("import numpy as np\ndef mine(x): return np.tanh(x)\n")
    assert verify.run(f"{path}:mine", "activation:tanh", examples=20).ok
    assert not verify.run(f"{path}:mine", "activation:sigmoid", examples=20).ok


@parametrize_with_checks([r for r in RIGHT if r.op in ("flatten", "softmax")], examples=5)
def test_parametrize_with_checks(target, check) -> None:
    check(target)


def test_parametrized_checks_fail_and_skip() -> None:
    mutant = next(m for m in planted.MUTANTS if m.name == "flipped kernel").make()
    mark = parametrize_with_checks([mutant], examples=30)
    cases = {case.id: case.values for case in mark.args[1]}
    target, check = cases["flipped kernel-conv2d-equals the oracle exactly"]
    with pytest.raises(AssertionError, match="flipped kernel"):
        check(target)
    target, check = cases["flipped kernel-conv2d-adjoint identity"]
    with pytest.raises(pytest.skip.Exception):
        check(target)


@pytest.mark.parametrize("op", CHECKS)
def test_every_property_states_a_domain_and_draws_inside_it(op: str) -> None:
    target = next(t for t in RIGHT if t.op == op)
    for prop in PROPERTIES[op]:
        assert prop.domain
        inside: list[bool] = []
        cases = prop.cases(target)
        _collect(cases, lambda case, prop=prop, inside=inside: inside.append(prop.inside(case)))
        assert inside and all(inside)


def _collect(cases, see) -> None:
    @settings(max_examples=20, deadline=None, database=None)
    @given(cases)
    def run(case) -> None:
        see(case)

    run()


def test_comparisons_know_nan_infinities_and_bounds() -> None:
    y = np.array([[1.0, np.nan], [np.inf, 2.0]])
    assert same("y", y.copy(), y) == 0.0
    assert close("y", y.copy(), y, np.array(0.5)) == 0.0
    assert close("y", np.array([1.25]), np.array([1.0]), np.array([0.5])) == 0.5
    for wrong in (np.array([[1.0, 0.0], [np.inf, 2.0]]), np.array([[1.0, np.nan], [-np.inf, 2.0]]), y[0]):
        with pytest.raises(Mismatch):
            close("y", wrong, y, np.array(0.5))
        with pytest.raises(Mismatch):
            same("y", wrong, y)
    with pytest.raises(Mismatch, match="numbers were expected"):
        same("y", "text", y)


def test_simplify_leaves_what_the_failure_needs() -> None:
    case = cnn.DenseCase(
        cnn.DenseGeometry(1, 2, 2), *(cnn.make_array(s, "normal", 1) for s in ((1, 2), (2, 2), (2,), (1, 2)))
    )
    small = simplify(case, ["x", "w", "b"], lambda c: c.x[0, 1] != 0 and c.w[1, 0] != 0)
    np.testing.assert_array_equal(small.x, [[0, 1]])
    np.testing.assert_array_equal(small.w, [[0, 0], [1, 0]])
    assert not small.b.any()


# Recorded counterexamples: just outside its domain each of these properties is false for the oracle itself.


def right(t: Target = planted.RIGHT) -> Target:
    return t


def _conv_case(g: cnn.ConvGeometry, values: str = "distinct") -> cnn.ConvCase:
    shapes = (g.image_shape, g.kernel_shape, (g.filters,), g.output_shape)
    return cnn.ConvCase(g, *(cnn.make_array(s, values, k) for k, s in enumerate(shapes)))


@pytest.mark.parametrize(
    ("name", "geometry"),
    [
        ("stride is subsampling", cnn.ConvGeometry(1, 6, 6, 1, 1, (3, 3), (2, 2), "same")),
        ("translation by a stride", cnn.ConvGeometry(1, 5, 5, 1, 1, (3, 3), (1, 1), "same")),
        ("a flipped image with the flipped kernel", cnn.ConvGeometry(1, 6, 6, 1, 1, (3, 3), (2, 2))),
        ("a flipped image with the flipped kernel", cnn.ConvGeometry(1, 4, 4, 1, 1, (2, 2), (1, 1), "same")),
        ("a delta kernel shifts", cnn.ConvGeometry(1, 5, 5, 1, 1, (2, 2), (2, 2))),
        ("a 1x1 kernel is Dense", cnn.ConvGeometry(1, 3, 3, 2, 2, (1, 1), groups=2)),
    ],
)
def test_outside_their_domain_convolution_properties_are_false(name: str, geometry: cnn.ConvGeometry) -> None:
    prop = next(p for p in conv2d_properties.FORWARD if p.name == name)
    case = _conv_case(geometry)
    assert geometry.is_valid() and not prop.inside(case)
    with pytest.raises(Mismatch):
        evaluate(prop, right(), case)


def test_zero_stuffing_is_false_for_infinities() -> None:
    case = _conv_case(cnn.ConvGeometry(1, 3, 1, 1, 1, (2, 1), dilation_rate=(2, 1)))
    case.x[0, 1] = np.inf
    with pytest.raises(Mismatch):
        evaluate(next(p for p in conv2d_properties.FORWARD if p.name.startswith("dilation")), right(), case)


def test_linearity_is_false_with_a_bias() -> None:
    biased = Target(
        "b",
        "conv2d",
        lambda x, w, **o: planted.conv2d(x, w, np.ones(w.shape[3], w.dtype), **o),
        options=planted.TAKES,
        bias=False,
    )
    with pytest.raises(Mismatch):
        evaluate(
            next(p for p in conv2d_properties.FORWARD if p.name == "linear in x"),
            biased,
            _conv_case(cnn.ConvGeometry()),
        )


def test_explicit_zeros_are_not_the_padding_of_a_pool() -> None:
    x = -np.ones((1, 2, 2, 1))
    same_ = oracles.max_pooling2d_forward(x, pool_size=(3, 3), strides=(1, 1), padding="same")
    explicit = oracles.max_pooling2d_forward(
        np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), pool_size=(3, 3), strides=(1, 1)
    )
    assert (same_ == -1).all() and (explicit == 0).all()


def test_max_pooling_twice_is_not_idempotent_but_composes() -> None:
    x = cnn.make_array((1, 6, 6, 1), "distinct", 1)
    once = oracles.max_pooling2d_forward(x, pool_size=(2, 2), strides=(1, 1), padding="same")
    twice = oracles.max_pooling2d_forward(once, pool_size=(2, 2), strides=(1, 1), padding="same")
    assert (once != twice).any()
    prop = next(p for p in pooling.MAX_PROPERTIES if p.name.startswith("pools of p"))
    g = cnn.PoolGeometry(1, 8, 8, 1, (2, 2), (2, 2))
    with pytest.raises(Mismatch):
        evaluate(
            prop, planted_pooling.RIGHT_MAX, cnn.PoolCase(g, cnn.make_array(g.image_shape, "distinct"), x)
        )


def test_weight_two_is_no_duplicate_for_the_mean() -> None:
    y, p = np.eye(2), np.array([[0.5, 0.5], [0.25, 0.75]])
    weighted = oracles.crossentropy_forward(y, p, sample_weight=np.array([2.0, 1.0]))
    duplicated = oracles.crossentropy_forward(y[[0, 0, 1]], p[[0, 0, 1]])
    assert weighted != pytest.approx(duplicated)


# What the kit may load


def test_importing_the_kit_loads_nothing_else() -> None:
    code = (
        "import sys, minicnn.testing, minicnn.testing.verify\n"
        "own = [m for m in sys.modules if m.startswith('minicnn.') and not m.startswith('minicnn.testing')]\n"
        "heavy = {'numba', 'keras', 'tensorflow', 'torch', 'jax', 'scipy', 'rich', 'pytest', 'h5py'}\n"
        "print(own, sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path.cwd())
    assert run.stdout.split() == ["[]", "[]"], run.stdout + run.stderr


def test_a_target_that_compiles_each_grouped_geometry_is_given_a_few() -> None:
    seen: dict[int, set[Any]] = {}

    def forward(x, w, b=None, **options):
        geometry = (x.shape, w.shape, *options["strides"], *options["dilation_rate"], options["padding"])
        seen.setdefault(min(options["groups"], 2), set()).add(geometry)
        return planted.conv2d(x, w, b, **options)

    target = replace(planted.RIGHT, forward=forward, compiles_groups=True)
    report = check_conv2d(target, properties=["equals the oracle exactly"])
    report.raise_if_failed()
    assert any("compiles each geometry" in note for note in report.notes)
    assert 2 <= len(seen[2]) <= 20 < len(seen[1])


# With 10,000 examples: tests/testing/false_alarms.py, every night.


@pytest.mark.parametrize("name", ["minicnn:reference", "minicnn:numba"])
def test_own_backends_pass(name: str) -> None:
    # numba: one op in the ordinary run, because the kernels' own tests compile and run the rest
    for target in load(name, None if name == "minicnn:reference" else "conv2d"):
        report = CHECKS[target.op](target, examples=8, shrink=False)
        report.raise_if_failed()


@pytest.mark.parametrize("name", ["torch", "scipy"])
def test_frameworks_pass(name: str) -> None:
    pytest.importorskip(name)
    for target in load(name):
        report = CHECKS[target.op](target, examples=4, shrink=False)
        report.raise_if_failed()
