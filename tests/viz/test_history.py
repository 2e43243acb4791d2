"""What `history_curves` draws: panels, curves, markers, legends, limits."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from minicnn.viz import history_curves

HISTORY = {
    "accuracy": [0.9459, 0.9841, 0.9893],
    "loss": [0.1732, 0.0501, 0.0338],
    "val_accuracy": [0.9832, 0.9881, 0.9907],
    "val_loss": [0.0534, 0.0391, 0.0344],
}


def curves(ax) -> dict[str, list[float]]:
    return {line.get_label(): list(line.get_ydata()) for line in ax.lines}


def test_loss_and_accuracy_with_training_and_validation():
    loss, accuracy = history_curves(HISTORY)
    assert [ax.get_title(loc="left") for ax in (loss, accuracy)] == ["loss", "accuracy"]
    assert curves(loss) == {
        "training, last 0.0338": HISTORY["loss"],
        "validation, last 0.0344": HISTORY["val_loss"],
    }
    assert curves(accuracy) == {
        "training, last 0.9893": HISTORY["accuracy"],
        "validation, last 0.9907": HISTORY["val_accuracy"],
    }
    for ax in (loss, accuracy):
        assert ax.get_xlabel() == "epoch"
        assert list(ax.get_xticks()) == [1, 2, 3]
        assert [text.get_text() for text in ax.get_legend().get_texts()] == list(curves(ax))
        for line in ax.lines:
            assert list(line.get_xdata()) == [1, 2, 3]


def test_curves_differ_in_more_than_colour():
    training, validation = history_curves(HISTORY)[0].lines
    assert training.get_color() != validation.get_color()
    assert training.get_linestyle() != validation.get_linestyle()
    assert training.get_marker() != validation.get_marker()


def test_a_single_epoch_is_a_visible_marker():
    for ax in history_curves({"loss": [0.2], "accuracy": [0.9]}):
        (line,) = ax.lines
        assert line.get_marker() == "o" and line.get_markersize() > 3
        left, right = ax.get_xlim()
        bottom, top = ax.get_ylim()
        assert left < 1 < right and bottom < line.get_ydata()[0] < top
        assert list(ax.get_xticks()) == [1]


def test_losses_start_at_zero_and_accuracies_end_at_one():
    loss, accuracy = history_curves(HISTORY)
    assert loss.get_ylim()[0] == 0 and loss.get_ylim()[1] > 0.1732
    assert accuracy.get_ylim()[1] == 1 and 0.9 < accuracy.get_ylim()[0] < 0.9459


@pytest.mark.parametrize(
    ("history", "titles"),
    [
        ({"loss": [1.0]}, ["loss"]),
        ({"val_loss": [1.0, 2.0]}, ["loss"]),
        (
            {"accuracy": [1, 0], "learning_rate": [1e-3, 1e-4], "loss": [2, 1]},
            ["loss", "accuracy", "learning rate"],
        ),
        ({r"$\acc$": [0.5], "loss": np.array([0.5], np.float32)}, ["loss", r"$\acc$"]),
    ],
)
def test_other_quantities(history, titles):
    axes = history_curves(history)
    assert [ax.get_title(loc="left") for ax in axes] == titles
    axes[0].figure.savefig("/dev/null", format="png")


@pytest.mark.parametrize("epochs", [1, 7, 10, 11, 30, 100, 1000])
def test_epoch_ticks_are_few_whole_numbers_from_one(epochs):
    ticks = history_curves({"loss": np.linspace(1, 0, epochs)})[0].get_xticks()
    assert ticks[0] == 1 and ticks[-1] <= epochs and len(ticks) <= 11
    assert all(tick == round(tick) for tick in ticks) and list(ticks) == sorted(set(ticks))


def test_values_that_are_not_finite_leave_gaps():
    (ax,) = history_curves({"loss": [0.3, np.nan, np.inf], "val_loss": [0.1, 0.2, 0.3]})
    assert list(curves(ax)) == ["training, last inf", "validation, last 0.3"]
    assert ax.get_ylim() == (0, pytest.approx(0.33))
    ax.figure.savefig("/dev/null", format="png")
    (ax,) = history_curves({"loss": [np.nan]})
    ax.figure.savefig("/dev/null", format="png")


def test_given_axes_are_drawn_into():
    figure = Figure()
    pair = figure.subplots(1, 2)
    assert history_curves(HISTORY, pair) == list(pair)
    assert [ax.get_title(loc="left") for ax in pair] == ["loss", "accuracy"]
    single = Figure().subplots()
    assert history_curves({"loss": [1.0, 0.5]}, single) == [single]


def test_wrong_number_of_axes():
    with pytest.raises(ValueError, match=r"one each for loss, accuracy\. Received 1"):
        history_curves(HISTORY, Figure().subplots())


@pytest.mark.parametrize(
    "history",
    [
        {},
        {"loss": []},
        {"loss": [1.0, 2.0], "val_loss": [1.0]},
        {"loss": np.array(1.0)},
        {"loss": [[1.0], [2.0]]},
    ],
)
def test_nothing_or_unequal_lists(history):
    with pytest.raises(ValueError, match="`history` must hold lists of one length"):
        history_curves(history)


@pytest.mark.parametrize("values", [[-2.0, -1.0], [-1.0, 3.0], [0.0, 0.0]])
def test_losses_that_reach_below_zero_choose_their_own_limits(values):
    (ax,) = history_curves({"loss": values})
    bottom, top = ax.get_ylim()
    assert bottom < min(values) and max(values) < top


def test_nothing_finite_to_draw():
    (ax,) = history_curves({"loss": [float("nan"), float("inf")]})
    assert len(ax.lines) == 1
