"""Receptive fields are where gradients arrive; dead units are those that never wake."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicnn import Input, layers, models, study
from minicnn.runs import book_net
from minicnn.study.explaining.recording import record
from minicnn.viz.fields import receptive_field as drawn

PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))


@st.composite
def stacks(draw):
    """Kinds and arguments of one to three layers that an image of 12 × 10 passes, or is used up by."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        kind = draw(st.sampled_from(["Conv2D", "Conv2D", "AveragePooling2D", "ZeroPadding2D"]))
        step, padding = draw(PAIRS), draw(st.sampled_from(["valid", "same"]))
        if kind == "Conv2D":
            spread = draw(st.sampled_from(["strides", "dilation_rate"]))
            found.append((kind, {"filters": 2, "kernel_size": draw(PAIRS), spread: step, "padding": padding}))
        elif kind == "AveragePooling2D":
            found.append((kind, {"pool_size": draw(PAIRS), "strides": step, "padding": padding}))
        else:
            found.append((kind, {"padding": step}))
    return found


@settings(max_examples=40)
@given(stacks(), st.integers(0, 2**32))
def test_the_field_is_where_the_gradient_of_positive_weights_is_not_zero(stack, seed):
    model = models.Sequential([Input((12, 10, 1))])
    for kind, arguments in stack:
        layer = getattr(layers, kind)(**arguments)
        if (
            min(model.output_shape[1:3] if model.built else (12, 10)) < 8
            and arguments.get("padding") == "valid"
        ):
            continue
        model.add(layer)
    if not model.built:
        return
    for layer in model.layers:
        layer.set_weights([np.ones(v.shape) for v in layer.weights])
    rng = np.random.default_rng(seed)
    last, shape = model.layers[-1].name, model.output_shape[1:]
    unit = tuple(int(rng.integers(size)) for size in shape)
    dy = np.zeros((1, *shape))
    dy[(0, *unit)] = 1
    reached = record(model, np.ones((1, 12, 10, 1)), dy=dy).gradients[0][0, ..., 0] != 0
    field = study.receptive_field(model, last, unit)
    assert (field.mask() == reached).all()


def test_the_books_net_sees_ever_more_and_never_the_last_two_rows():
    model = book_net()
    sizes = [study.receptive_field(model, layer.name).size for layer in model.layers]
    assert sizes == [(3, 3), (4, 4), (8, 8), (10, 10), (18, 18), (18, 18), (26, 26), (26, 26)]
    assert study.receptive_field(model, model.layers[4].name, (0, 2, 5)).columns == tuple(range(8, 26))


def test_channels_first_and_gaps():
    first = models.Sequential(
        [Input((2, 9, 7)), layers.Conv2D(3, 3, dilation_rate=2, data_format="channels_first")]
    )
    field = study.receptive_field(first, first.layers[0].name, (1, 0, 1))
    assert field.image_size == (9, 7) and field.rows == (0, 2, 4) and field.columns == (1, 3, 5)
    assert len(field.plot(np.zeros((9, 7))).patches) == 9  # one frame a pixel


def test_drawn_in_one_frame_without_gaps():
    ax = drawn(np.pad(np.ones((2, 3), bool), 2), title="field")
    (frame,) = ax.patches
    assert (frame.get_x(), frame.get_y(), frame.get_width(), frame.get_height()) == (1.5, 1.5, 3, 2)
    assert ax.get_title(loc="left") == "field"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("dense9",), "`layer` must be one of"),
        (("dense", (64,)), r"`unit` must be an index of an array of shape \(64,\)"),
    ],
)
def test_bad_arguments(arguments, message):
    model = models.Sequential([Input((8, 8, 1)), layers.Flatten(), layers.Dense(64, name="dense")])
    with pytest.raises(ValueError, match=message):
        study.receptive_field(model, *arguments)
    with pytest.raises(ValueError, match="not built"):
        study.receptive_field(models.Sequential([layers.Dense(2, name="dense")]), "dense")


def test_the_report_counts_units_that_no_sample_wakes():
    model = models.Sequential(
        [Input((6, 6, 1)), layers.Conv2D(3, 3, activation="relu", name="conv"), layers.Flatten()]
    )
    kernel = np.ones((3, 3, 1, 3)) * [1, -1, 1]
    model.layers[0].set_weights([kernel, np.array([0, 0, -100.0])])
    report = study.layer_report(model, np.ones((4, 6, 6, 1)))
    assert report.dead == {"conv": (1, 2)} and report.units == {"conv": 3}
    assert report.params["conv"] == 30 and report.details["conv"].multiply_adds == 16 * 27
    assert report.details["conv"].nbytes == 16 * 3 * 4
    assert "2 of 3" in str(report) and "Dead on all of 4 samples." in str(report)
