"""Pictures of results: every number stands where it must, what wasn't measured is left out, files are whole."""

import dataclasses

import numpy as np
import pytest
from matplotlib.figure import Figure

from minicnn.bench import pictures
from minicnn.bench.pictures import all_figures, draw_all
from minicnn.bench.pictures_profile import layer_shares, needed_work, roofline
from minicnn.bench.pictures_ratios import Ratio, ratio_bars, ratios_of
from minicnn.bench.pictures_scaling import (
    batches_of,
    images_of,
    scaling_over_batches,
    scaling_over_images,
    scaling_over_threads,
    threads_of,
)
from minicnn.bench.profile import as_record
from minicnn.bench.results import FAILED, OK, Machine, Measured, Results, Series, Verdict, read, write
from minicnn.models.profile import Cost, Profile, Row

MACHINE = Machine("cpu", {}, 2, 2, "blas", {}, {"1": 100.0, "2": 180.0}, {"1": 10.0, "2": 15.0}, 0.1, "", "")
PNG = b"\x89PNG\r\n\x1a\n"


def series(peer, median, threads=2, label=None, status=OK, busy=False):
    rounds = ((median,), (median,), (median,)) if status == OK else ()
    return Series(label or peer, peer, threads, busy, status, rounds=rounds)


def step(name, *contestants, batch_size=64, size=28, job="train_step"):
    return Measured(name, job, name.split("/")[1], batch_size, (size, size, 1), "s", 0, contestants)


def profile() -> Profile:
    """Of a step of 10 ms: convolution 5 ms, dense 2 ms, loss 0.5 ms, engine 1.5 ms; half of the work is needed."""
    rows = (
        Row("conv + max_pooling2d", "ConvReLUPool", (3, 3, 4), Cost(2.0, 60_000_000, 40_000_000, 1_000_000),
            Cost(3.0, 60_000_000, 10_000_000, 5_000_000), None),
        Row("flat", "Reshape", (36,), Cost(0.001, 0, 0, 0), None, Cost(0.001, 0, 0, 0)),
        Row("out", "Dense", (5,), Cost(1.0, 20_000_000, 20_000_000, 4_000_000),
            Cost(0.5, 20_000_000, 15_000_000, 4_000_000), Cost(0.5, 20_000_000, 5_000_000, 4_000_000)),
        Row("loss", "SoftmaxCrossEntropy", (5,), Cost(0.3, 0, 0, 10), None, Cost(0.2, 0, 0, 10)),
    )  # fmt: skip
    return Profile("my/net", 10, "numba", True, "float32", 4, 9, 50.0, rows, 10.0, 0.8, 0.2)


def results() -> Results:
    return Results(
        MACHINE,
        (
            step("train_step/book/64", series("minicnn", 0.004), series("keras", 0.02), series("torch", 0.016),
                 series("jax", 0.08), series("reference", 0.4), series("onnxruntime", 0, status=FAILED)),
            step("train_step/book/1", series("minicnn", 0.001), series("keras", 0.005), batch_size=1),
            step("scaling/book/64", series("minicnn", 0.008, 1, "minicnn, 1 thread"), series("minicnn", 0.004),
                 series("sgemm", 0.02, 1, "sgemm, 1 thread"), series("sgemm", 0.0125)),
            step("busy/book/64", series("minicnn", 0.004),
                 series("minicnn", 0.009, 2, "minicnn, one core busy", busy=True)),
            step("train_step/book_at_56/64", series("minicnn", 0.02), series("keras", 0.1), size=56),
        ),
        (
            Verdict("training step", "train_step/book/64", "keras", 0.15, False, 0.2, 0.19, 0.21),
            Verdict("training step", "train_step/book/64", "torch", 0.27, False, 0.25, 0.24, 0.26),
            Verdict("busy core", "busy/book/64", "minicnn", 2.2, False, 2.25),
            Verdict("gain", "scaling/book/64", "sgemm", 0.95, True, 1.25),
            Verdict("40 shapes: worst", "convolution_forward/*", "keras", 1.5, False, 4.0, None, None, "a shape"),
            Verdict("40 shapes: geometric mean", "convolution_forward/*", "keras", 1.0, False),
        ),
        profiles=(as_record(profile()),),
    )  # fmt: skip


def texts(ax) -> list[str]:
    return [text.get_text() for text in ax.texts]


def bars(ax) -> list[tuple[float, float]]:
    """(left, width) of every bar, in the order drawn."""
    return [(bar.get_x(), bar.get_width()) for bar in ax.patches]


def row_names(ax) -> list[str]:
    return [label.get_text() for label in ax.get_yticklabels()]


# Ratios


def test_every_verdict_is_a_ratio_and_then_come_the_peers_without_one():
    found = ratios_of(results())
    assert [(r.group, r.against) for r in found] == [
        ("training step", "keras"),
        ("training step", "torch"),
        ("training step", "jax"),
        ("busy core", "minicnn"),
        ("gain", "sgemm"),
        ("40 shapes", "keras, worst"),
        ("40 shapes", "keras, geometric mean"),
    ]
    jax = found[2]
    assert jax.value == pytest.approx(0.004 / 0.08) and jax.limit is None and jax.low is None
    assert found[0] == Ratio("training step", "keras", 0.2, 0.19, 0.21, 0.15, False)
    assert found[4].at_least and found[6].value is None


@pytest.mark.parametrize(
    ("value", "limit", "at_least", "missed"),
    [
        (0.9, 1.0, False, False),
        (1.1, 1.0, False, True),
        (1.0, 1.0, False, False),
        (0.9, 1.0, True, True),
        (1.1, 1.0, True, False),
        (None, 1.0, False, False),
        (9.0, None, False, False),
    ],
)
def test_when_a_bar_is_missed(value, limit, at_least, missed):
    assert Ratio("g", "p", value, limit=limit, at_least=at_least).is_missed == missed


def test_ratio_bars():
    ax = ratio_bars(ratios_of(results()))
    assert [width for _, width in bars(ax)] == pytest.approx([0.2, 0.25, 0.05, 2.25, 1.25, 3.0])
    assert row_names(ax)[0] == "÷ keras" and row_names(ax)[-1] == "÷ keras, geometric mean"
    said = texts(ax)
    assert {"training step", "40 shapes", "0.20", "0.25", "0.05", "2.25", "not measured", "promised"} <= set(
        said
    )
    assert {"≤ 0.15  missed", "≤ 0.27", "≤ 2.20  missed", "≥ 0.95", "≤ 1.50  missed", "≤ 1.00"} <= set(said)
    assert "4.00 →" in said  # longer than the picture is wide
    promised = [line.get_xdata()[0] for line in ax.lines if len(set(line.get_xdata())) == 1]
    assert promised == pytest.approx([0.15, 0.27, 2.2, 0.95, 1.5, 1.0, 1.0])  # and the line at 1
    assert ax.get_xlabel() == "minicnn ÷ peer (below 1 minicnn needs less)"


def test_a_missed_bar_is_hatched_and_one_without_promise_grey():
    met, missed, free = ratio_bars(
        [Ratio("g", "a", 0.5, limit=1.0), Ratio("g", "b", 1.5, limit=1.0), Ratio("g", "c", 0.5)]
    ).patches
    assert (met.get_hatch(), missed.get_hatch(), free.get_hatch()) == (None, "////", None)
    assert len({bar.get_facecolor() for bar in (met, missed, free)}) == 3


def test_no_ratios():
    with pytest.raises(ValueError, match="`ratios` must hold at least one"):
        ratio_bars([])


# Profiles


def test_shares_of_a_step_stand_one_after_the_other():
    ax = layer_shares(profile())
    assert row_names(ax) == [
        "conv + pool",
        "out",
        "loss",
        "engine",
        "optimizer",
        "metrics",
    ]  # flat is under 0.1 %
    assert bars(ax) == [
        pytest.approx(bar)
        for bar in [(0, 20), (20, 30), (0, 10), (10, 5), (15, 5), (0, 3), (3, 2), (0, 14.98), (0, 8), (0, 2)]
    ]
    assert ax.get_xlim()[1] > 60  # room for the numbers behind the longest bar
    assert [text.strip() for text in texts(ax)][:2] == ["50 %, 5.00 ms", "20 %, 2.00 ms"]
    assert (
        ax.get_title(loc="left") == "my/net: where 10.0 ms go"
        and ax.get_xlabel() == "share of a training step, %"
    )
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["forward", "dw", "dx", "rest"]


def test_an_engine_that_comes_out_below_zero_is_not_cut_off():
    ax = layer_shares(dataclasses.replace(profile(), step_ms=8.0))
    assert (0.0, pytest.approx(-100 * 0.502 / 8)) in bars(ax)
    assert ax.get_xlim()[0] < -6.2 and any("−6.3 %, −0.50 ms" in text for text in texts(ax))


def test_needed_work_lies_inside_all_of_it():
    ax = needed_work(profile())
    assert row_names(ax) == ["conv + pool", "out"]
    widths = [width for _, width in bars(ax)]
    assert widths[::2] == pytest.approx([6, 6, 2, 2, 2]) and widths[1::2] == pytest.approx(
        [4, 1, 2, 1.5, 0.5]
    )
    assert texts(ax)[:5] == ["67 %", "17 %", "100 %", "75 %", "25 %"]
    assert ax.get_title(loc="left") == "my/net: 9.00 of 18.0 million multiply-adds are needed"


def test_roofline():
    """FLOP a byte and 10⁹ FLOP/s: the convolution forward has 80 of the one at 40 of the other."""
    ax = roofline(profile(), 10.0)
    roof, *points = ax.lines
    x, y = roof.get_data()
    assert x[1] == 5.0 and y[1:].tolist() == [50.0, 50.0] and y[0] == pytest.approx(10 * x[0])
    assert [(float(p.get_xdata()[0]), float(p.get_ydata()[0])) for p in points] == [
        pytest.approx(point)
        for point in [(80.0, 40.0), (4.0, 20 / 3), (10.0, 40.0), (7.5, 60.0), (2.5, 20.0)]
    ]
    assert texts(ax)[:5] == ["1", "1", "2", "2", "2"]
    assert len({p.get_marker() for p in points}) == 3
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert (
        legend[1:] == ["forward", "dw", "dx", "conv + pool", "out"]
        and "10 GB/s" in legend[0]
        and "50 GFLOP/s" in legend[0]
    )
    assert ax.get_xscale() == ax.get_yscale() == "log"
    ax.figure.savefig("/dev/null", format="png")
    assert ax.get_legend().get_window_extent().x0 > ax.get_window_extent().x1  # where no point can lie


def test_markers_over_each_other_share_a_number():
    rows = [Row(name, "Dense", (5,), Cost(1.0, 10**7, 10**7, 10**6), None, None) for name in "abc"]
    far = Row("d", "Dense", (5,), Cost(1.0, 10**6, 10**6, 10**6), None, None)
    ax = roofline(dataclasses.replace(profile(), rows=(*rows, far)), 10.0)
    assert texts(ax)[:2] == ["1,2,3", "4"]


def test_a_bandwidth_that_is_none():
    with pytest.raises(ValueError, match=r"`bandwidth_gbytes_s` must be positive\. Received 0"):
        roofline(profile(), 0.0)


def test_a_net_without_products_has_pictures_too():
    bare = dataclasses.replace(profile(), rows=(profile().rows[3],))
    for draw in (layer_shares, needed_work, lambda p: roofline(p, 10.0)):
        draw(bare).figure.savefig("/dev/null", format="png")


# Scaling


def lines(ax) -> dict[str, list[tuple[float, float]]]:
    return {
        line.get_label(): list(zip(line.get_xdata(), line.get_ydata(), strict=True))
        for line in ax.lines
        if not line.get_label().startswith("_")
    }


def test_points_of_the_results():
    assert threads_of(results()) == {"minicnn": [(1, 0.008), (2, 0.004)], "sgemm": [(1, 0.02), (2, 0.0125)]}
    assert batches_of(results()) == {"minicnn": [(64, 0.004), (1, 0.001)], "keras": [(64, 0.02), (1, 0.005)]}
    assert images_of(results()) == {"minicnn": [(28, 0.004), (56, 0.02)], "keras": [(28, 0.02), (56, 0.1)]}


def test_gains_over_threads():
    ax = scaling_over_threads(threads_of(results()))
    assert lines(ax) == {"minicnn": [(1, 1.0), (2, 2.0)], "sgemm": [(1, 1.0), (2, pytest.approx(1.6))]}
    assert ax.get_ylabel() == "gain over one thread" and ax.get_xlabel() == "threads"
    with pytest.raises(ValueError, match=r"`points` must hold one thread for every library\. Received sgemm"):
        scaling_over_threads({"sgemm": [(2, 1.0)]})


def test_time_of_an_image_over_batches_is_in_order_of_the_batches():
    ax = scaling_over_batches(batches_of(results()))
    assert lines(ax)["minicnn"] == [pytest.approx(p) for p in [(1, 1000.0), (64, 62.5)]]
    assert ax.get_ylabel() == "µs an image" and [t.get_text() for t in ax.get_xticklabels()] == ["1", "64"]


def test_time_of_a_step_over_image_sizes():
    ax = scaling_over_images(images_of(results()))
    assert lines(ax)["keras"] == [pytest.approx(p) for p in [(28, 20.0), (56, 100.0)]]
    assert ax.get_ylabel() == "ms a step"


@pytest.mark.parametrize("draw", [scaling_over_threads, scaling_over_batches, scaling_over_images])
def test_no_points(draw):
    with pytest.raises(ValueError, match="`points` must hold at least one"):
        draw({})


def test_given_axes_are_drawn_into():
    for draw in (
        lambda ax: layer_shares(profile(), ax),
        lambda ax: needed_work(profile(), ax),
        lambda ax: roofline(profile(), 10.0, ax),
        lambda ax: ratio_bars([Ratio("g", "p", 0.5)], ax),
        lambda ax: scaling_over_threads({"minicnn": [(1, 1.0), (2, 0.5)]}, ax),
        lambda ax: scaling_over_batches({"minicnn": [(1, 1.0), (2, 0.5)]}, ax),
        lambda ax: scaling_over_images({"minicnn": [(1, 1.0), (2, 0.5)]}, ax),
    ):
        ax = Figure().subplots()
        assert draw(ax) is ax


# Files

NAMES = ["ratios.png", "scaling.png", "layers_my_net.png", "work_my_net.png", "roofline_my_net.png"]


def test_all_pictures_of_a_file_of_results(tmp_path):
    write(results(), tmp_path / "bench.json")
    folder = tmp_path / "new" / "pictures"
    paths = draw_all(read(tmp_path / "bench.json"), folder)
    assert [path.name for path in paths] == NAMES
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
    assert all(path.read_bytes().startswith(PNG) for path in paths)


def test_what_was_not_measured_has_no_picture(tmp_path):
    assert draw_all(Results(MACHINE, (), ()), tmp_path) == []
    no_memory = dataclasses.replace(MACHINE, triad_gbytes_s={})
    only_profile = Results(no_memory, (), (), profiles=(as_record(profile()),))
    assert list(all_figures(only_profile)) == ["layers_my_net.png", "work_my_net.png"]
    one_panel = dataclasses.replace(results(), measurements=results().measurements[2:3])
    assert len(pictures.scaling_figure(one_panel).axes) == 1


def test_an_old_picture_stays_when_a_new_one_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "ratios.png").write_bytes(b"old")
    monkeypatch.setattr("minicnn.viz.files.os.replace", lambda *args: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        draw_all(results(), tmp_path)
    assert (tmp_path / "ratios.png").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["ratios.png"]


def test_what_is_no_profile_is_refused_before_anything_is_written(tmp_path):
    bad = dataclasses.replace(results(), profiles=({"rows": []},))
    with pytest.raises(ValueError, match="A profile must have the fields"):
        draw_all(bad, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("name", NAMES)
def test_no_word_is_cut_off_or_lies_over_another(name):
    """Words of the figure, as they are drawn, stay inside it and apart; a point's overlap is rounding."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    figure = all_figures(results())[name]
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    boxes = []
    for ax in figure.axes:
        words = [*ax.texts, ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label]
        for axis, limits in ((ax.xaxis, ax.get_xlim()), (ax.yaxis, ax.get_ylim())):
            places = zip(axis.get_majorticklabels(), axis.get_majorticklocs(), strict=True)
            words += [label for label, place in places if min(limits) <= place <= max(limits)]
        words += ax.get_legend().get_texts() if ax.get_legend() else []
        boxes += [
            (w.get_text(), w.get_window_extent()) for w in words if w.get_text().strip() and w.get_visible()
        ]
    assert len(boxes) > 10
    for text, box in boxes:
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= width + 1 and box.y1 <= height + 1, text
    for k, (text, box) in enumerate(boxes):
        for other, rival in boxes[:k]:
            overlap = np.minimum(box.max, rival.max) - np.maximum(box.min, rival.min)
            assert (overlap < 1.5).any(), (text, other)
