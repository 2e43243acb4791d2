"""What `model.profile` says, and that it leaves everything as it was."""

import dataclasses
import re
import time

import numpy as np
import pytest

import minicnn
from minicnn import Input, config, layers, models
from minicnn.engine import workspace
from minicnn.models import profile as profile_module
from minicnn.models.profile import Cost, Profile, Row

PEAK = 50.0


@pytest.fixture(autouse=True)
def no_measured_peak(monkeypatch):
    """Half a second each; tests/engine/test_peak.py is about it."""
    monkeypatch.setattr(profile_module, "matmul_gflops", lambda dtype: PEAK)


def net(built: bool = True, **options) -> models.Sequential:
    model = models.Sequential(
        [
            *([Input((9, 9, 2))] if built else []),
            layers.Conv2D(4, 3, activation="relu", name="conv"),
            layers.MaxPooling2D(2, name="pool"),
            layers.Dropout(0.3, seed=1, name="dropout"),
            layers.Flatten(name="flat"),
            layers.Dense(5, activation="softmax", name="out"),
        ],
        name="net",
    )
    arguments = {"optimizer": "adam", "loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
    model.compile(**arguments | options)
    return model


def batch(n: int = 6):
    rng = np.random.default_rng(n)
    return rng.random((n, 9, 9, 2), np.float32), rng.integers(0, 5, n)


def state(model):
    """Everything that training changes, as copies."""
    variables = [*model.variables, *model.optimizer.variables]
    metrics = {m.name: float(m.result()) for m in model.metrics}
    return [v.numpy() for v in variables], [v.version for v in variables], metrics


def test_the_rows_are_the_steps_that_fit_runs():
    profile = net().profile(*batch(), repeats=1)
    assert [(row.layers, row.op, row.output_shape) for row in profile.rows] == [
        ("conv + pool", "ConvReLUPool", (3, 3, 4)),
        ("dropout", "Dropout", (3, 3, 4)),
        ("flat", "Reshape", (36,)),
        ("out", "Dense", (5,)),
        ("loss", "SoftmaxCrossEntropy", (5,)),
    ]
    assert (profile.model, profile.batch_size, profile.repeats, profile.peak_gflops) == ("net", 6, 1, PEAK)
    assert (profile.backend, profile.fuses, profile.dtype) == ("numba", True, "float32")


def test_without_fusion_every_op_has_a_row():
    profile = net(fuse=False).profile(*batch(), repeats=1)
    assert [row.op for row in profile.rows][:3] == ["Conv2D", "ReLU", "MaxPool2D"]
    assert [row.layers for row in profile.rows][:3] == ["conv", "conv", "pool"]
    assert not profile.fuses


@pytest.mark.parametrize("backend", ["numba", "reference"])
def test_multiply_adds_of_the_batch(backend):
    """(9, 9, 2) through 4 filters of 3×3, pooled to 3×3 (of 7×7 the last row and column aren't needed), 36 → 5."""
    conv, _, _, dense, _ = net(backend=backend).profile(*batch(), repeats=1).rows
    assert (conv.forward.dense, conv.forward.needed) == (6 * 49 * 18 * 4, 6 * 36 * 18 * 4)
    assert conv.dw.dense == conv.forward.dense and conv.dx is None
    assert 0 < conv.dw.needed <= 6 * 9 * 18 * 4 and conv.dw.needed % 18 == 0
    assert {cost.dense for cost in (dense.forward, dense.dw, dense.dx)} == {6 * 36 * 5}
    assert dense.dx.needed == dense.dw.needed == dense.forward.needed == 6 * 36 * 5


def test_dropped_gradients_need_no_work():
    """Dropout keeps about 0.7 of the pooled values, and no gradient of the others; ReLU lets all through here."""
    model = net()
    model.get_layer("conv").bias.assign(np.full(4, 10.0))
    conv = model.profile(*batch(64), repeats=1).rows[0]
    assert 0.6 < conv.dw.needed / (64 * 9 * 18 * 4) < 0.8  # 2,304 draws: σ is 0.01


def test_nothing_changes():
    model = net()
    model.fit(*batch(), verbose=0)
    before = state(model)
    threads = config.num_threads()
    model.profile(*batch(), repeats=3)
    after = state(model)
    for a, b in zip(before[0], after[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert before[1:] == after[1:]
    assert config.num_threads() == threads


def test_a_run_goes_on_as_if_nothing_had_happened():
    outcomes = []
    for looks in (False, True):
        minicnn.utils.set_random_seed(0)
        model = net()
        model.fit(*batch(), verbose=0)
        if looks:
            model.profile(*batch(8), repeats=2)
        outcomes.append(model.fit(*batch(), epochs=2, verbose=0).history["loss"])
    assert outcomes[0] == outcomes[1]


def test_the_optimizer_stays_unbuilt():
    model = net()
    weights = model.get_weights()
    model.profile(*batch(), repeats=1)
    assert not model.optimizer.built and model.optimizer.iterations.numpy() == 0
    for a, b in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_an_unbuilt_model_is_built_for_the_batch():
    model = net(built=False)
    profile = model.profile(*batch(), repeats=1)
    assert model.built and profile.rows[0].layers == "conv + pool"


def test_layers_that_are_not_trained_cost_only_the_forward_pass():
    model = net()
    model.get_layer("conv").trainable = False
    model.compile(loss="sparse_categorical_crossentropy")
    conv, *_, dense, loss = model.profile(*batch(), repeats=1).rows
    assert list(conv.passes) == ["forward"] and list(dense.passes) == ["forward", "dw"]
    assert list(loss.passes) == ["forward", "dx"]


def test_a_model_without_trainable_weights():
    model = net()
    model.trainable = False
    model.compile(loss="sparse_categorical_crossentropy")
    profile = model.profile(*batch(), repeats=1)
    assert all(list(row.passes) == ["forward"] for row in profile.rows)
    assert profile.total["dw"] == profile.total["dx"] == Cost(0.0, 0, 0, 0)


def test_in_the_reference_one_call_gives_both():
    rows = net(backend="reference").profile(*batch(), repeats=1).rows
    dense = rows[3]
    assert dense.gives_both and dense.dw.ms > 0 == dense.dx.ms and dense.dx.dense == dense.dw.dense
    assert not any(row.gives_both for row in rows if row is not dense)
    assert not any(row.gives_both for row in net().profile(*batch(), repeats=1).rows)


def test_sample_weights_of_zero_leave_nothing_to_do_backward():
    profile = net().profile(*batch(), np.zeros(6), repeats=1)
    assert profile.rows[0].dw.needed == profile.rows[3].dw.needed == 0 < profile.rows[3].dw.dense


def test_float64():
    minicnn.config.set_floatx("float64")
    try:
        profile = net().profile(*batch(), repeats=1)
    finally:
        minicnn.config.set_floatx("float32")
    assert (
        profile.dtype == "float64" and profile.rows[0].forward.nbytes == 8 * (6 * 162 + 76 + 6 * 36) + 6 * 36
    )


# What goes in


def test_before_compile():
    with pytest.raises(ValueError, match=r"You must call `compile\(\)` before calling `profile\(\)`"):
        models.Sequential([Input((9, 9, 2)), layers.Flatten()]).profile(*batch())


def test_without_a_loss():
    with pytest.raises(ValueError, match="`compile` was called without a loss"):
        net(loss=None).profile(*batch())


@pytest.mark.parametrize("repeats", [0, -1, 1.5, True])
def test_repeats(repeats):
    with pytest.raises(
        ValueError, match=rf"`repeats` must be an integer of at least 1\. Received repeats={repeats}"
    ):
        net().profile(*batch(), repeats=repeats)


def test_data_that_do_not_fit():
    x, y = batch()
    with pytest.raises(ValueError, match=re.escape("Received shape (None, 9, 9, 1)")):
        net().profile(x[..., :1], y)
    with pytest.raises(ValueError, match="`y` must be given"):
        net().profile(x, None)


def test_the_number_of_threads_comes_back_after_an_error(monkeypatch):
    monkeypatch.setattr(profile_module._Twin, "profile", lambda *args: 1 / 0)
    config.set_num_threads(3)
    try:
        with pytest.raises(ZeroDivisionError):
            net().profile(*batch())
        assert config.num_threads() == 3
    finally:
        config.set_num_threads(None)


def test_without_repeats_the_budget_decides(monkeypatch):
    monkeypatch.setattr(profile_module, "BUDGET_S", 0.0)
    assert net().profile(*batch()).repeats == profile_module.LEAST_REPEATS


# What comes out


def made() -> Profile:
    """A profile with round numbers."""
    rows = (
        Row(
            "a + b",
            "ConvReLUPool",
            (3, 3, 4),
            Cost(1.0, 40_000_000, 25_000_000, 2_000_000),
            Cost(2.0, 4, 2, 6),
            None,
            {"forward": "winograd kernel", "dw": "direct", "dx": "direct"},
        ),
        Row("c", "Dense", (5,), Cost(0.5, 2, 2, 1), Cost(0.25, 2, 1, 1), Cost(0.25, 2, 1, 1)),
        Row("loss", "MeanSquaredError", (5,), Cost(0.5, 0, 0, 10), None, Cost(0.5, 0, 0, 10)),
    )
    return Profile(
        "net", 6, "numba", True, "float32", 4, 9, PEAK, rows, step_ms=8.0, optimizer_ms=1.0, metrics_ms=0.5
    )


def test_rates():
    """25 million multiply-adds in a millisecond are 50 GFLOP/s, here the peak."""
    profile = made()
    assert profile.rows[0].forward.gflops == PEAK and profile.share_of_peak(profile.rows[0].forward) == 1
    assert Cost(0.0, 0, 0, 0).gflops == 0


def test_sums():
    profile = made()
    assert profile.total == {
        "forward": Cost(2.0, 40_000_002, 25_000_002, 2_000_011),
        "dw": Cost(2.25, 6, 3, 7),
        "dx": Cost(0.75, 2, 1, 11),
    }
    assert profile.kernels_ms == 5.0
    assert profile.engine_ms == 1.5


def test_the_measured_sums_are_a_step():
    profile = net().profile(*batch(), repeats=5)
    parts = profile.kernels_ms + profile.engine_ms + profile.optimizer_ms + profile.metrics_ms
    assert parts == pytest.approx(profile.step_ms)
    assert 0 < profile.kernels_ms < profile.step_ms and min(profile.optimizer_ms, profile.metrics_ms) > 0


def test_what_a_step_costs_beyond_its_kernels(monkeypatch):
    """A metric that takes 20 ms and an optimizer that takes 30: each shows where it belongs, and nowhere else."""
    monkeypatch.setattr(profile_module._Twin, "_apply", lambda self, executor: time.sleep(0.03))

    def slow(y_true, y_pred):
        time.sleep(0.02)
        return np.zeros(len(y_pred))

    profile = net(metrics=[slow]).profile(*batch(), repeats=3)
    assert profile.metrics_ms >= 20 and profile.optimizer_ms >= 30
    assert profile.metrics_ms + profile.optimizer_ms <= profile.step_ms
    assert profile.metrics_ms < profile.optimizer_ms


def test_every_step_derives_its_layouts_of_the_weights_anew(monkeypatch):
    """As in training, where each step changes the weights: two runs to warm up, and two for each repetition."""
    made = []
    original = workspace.Derived.phases

    def phases(self, weights, version=None):
        made.append(version is None or version != self.version)
        return original(self, weights, version)

    monkeypatch.setattr(workspace.Derived, "phases", phases)
    net().profile(*batch(), repeats=3)
    assert made == [True] * 8


def test_the_table():
    lines = str(made()).splitlines()
    assert lines[0] == "net: one training step, batch 6, float32, backend numba, fused, chunks of 4"
    rows = {tuple(re.split(r"\s{2,}", line.strip())) for line in lines}
    assert (
        "a + b",
        "ConvReLUPool",
        "forward",
        "winograd kernel",
        "1.000",
        "12 %",
        "50.0",
        "100 %",
        "2.00",
        "40.00",
        "25.00",
    ) in rows
    assert ("c", "Dense", "forward", "0.500", "6.2 %", "0.0", "0.0 %", "0.00", "0.00", "0.00") in rows
    assert ("loss", "MeanSquaredError", "forward", "0.500", "6.2 %", "0.00") in rows
    assert ("engine", "1.500", "19 %") in rows and ("training step", "8.000", "100 %") in rows
    assert "medians of 9 runs. Peak: 50.0 GFLOP/s" in str(made())
    assert "one call computes" not in str(made())
    assert repr(made()) == str(made())


def test_the_table_says_where_one_call_gives_both():
    profile = made()
    rows = (*profile.rows, dataclasses.replace(profile.rows[1], gives_both=True))
    assert "one call computes dw and dx" in str(dataclasses.replace(profile, rows=rows))


def test_a_notebook_gets_the_same_table_escaped():
    profile = dataclasses.replace(made(), model="<net>")
    html = profile._repr_html_()
    assert "&lt;net&gt;" in html and "<net>" not in html
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", html)
    text = str(profile)
    assert all(cell in text for cell in cells) and len(cells) % 11 == 0
    assert html.count("<tr>") == html.count("</tr>") == len(cells) / 11 + 1
