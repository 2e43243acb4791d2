"""Every experiment in small: what follows from the nets' structure, and that a report says what the numbers say."""

import copy
import json
from itertools import product

import numpy as np
import pytest

from minicnn import layers, models
from minicnn.study.experiments import EXPERIMENTS, material
from minicnn.study.experiments.experiment import Experiment
from minicnn.study.experiments.folder import page
from minicnn.study.experiments.pooling import VARIANTS, shifted

TINY = {
    "pooling": {"train": 64, "test": 32, "epochs": 1, "seeds": 2},
    "dense-vs-conv": {"train": 64, "test": 32, "epochs": 2, "seeds": 1},
    "augmentation": {"sizes": (32, 64), "test": 32, "steps": 2, "points": 2},
    "feature-extraction": {
        "pretrain": 64,
        "epochs": 1,
        "sizes": (16, 32),
        "test": 32,
        "steps": 2,
        "tune": False,
    },
    "fine-tuning": {"pretrain": 64, "epochs": 1, "sizes": (16, 32), "test": 32, "steps": 2, "tune": True},
    "visualise": {"train": 64, "test": 32, "epochs": 1, "ascent": 2, "frames": 3},
}


def digits():
    return material.load("mnist").first(700, 700)


@pytest.fixture(scope="module")
def results():
    """Experiment → its results in JSON and back, as a report reads them, and the pictures' arrays."""
    found = {}
    for name, size in TINY.items():
        run = EXPERIMENTS[name](digits(), 0, **size)
        found[name] = json.loads(json.dumps(run.numbers)), run
    return found


def test_there_is_a_size_for_each():
    assert set(TINY) == set(EXPERIMENTS)
    for name, size in TINY.items():
        for data, quick in product(("mnist", "shapes"), (True, False)):
            assert set(EXPERIMENTS[name].size(data, quick=quick)) == set(size)


@pytest.mark.parametrize("data", ["mnist", "shapes"])
def test_there_are_as_many_images_as_a_report_says(data):
    """A data set's first images are taken; where it has fewer, the size in results.json would be wrong."""
    whole = material.load(data)
    half = whole.of_classes(0, len(whole.classes) // 2), whole.of_classes(len(whole.classes) // 2, 10)
    for experiment, quick in product(EXPERIMENTS.values(), (True, False)):
        size = experiment.size(data, quick=quick)
        source, target = half if "pretrain" in size else (whole, whole)
        assert len(source.training.images) >= size.get("train", size.get("pretrain", 0))
        assert len(target.training.images) >= max(size.get("sizes", [0]))
        assert min(len(source.test.images), len(target.test.images)) >= size["test"]


# Derived numbers

STRUCTURES = {  # parameters, multiply-adds, flattened, receptive field; by hand, convolution by convolution
    "max pooling": (93_322, 194_688 + 2_230_272 + 331_776 + 576 * 64 + 640, 576, 18),
    "no pooling": (
        55_744 + 30_976 * 64 + 64 + 650,
        194_688 + 24 * 24 * 288 * 64 + 22 * 22 * 576 * 64 + 30_976 * 64 + 640,
        30_976,
        7,
    ),
    "average pooling": (93_322, 194_688 + 2_230_272 + 331_776 + 576 * 64 + 640, 576, 18),
    "stride-2 convolutions": (
        55_744 + 1_024 * 64 + 64 + 650,
        13 * 13 * 288 + 36 * 288 * 64 + 16 * 576 * 64 + 1_024 * 64 + 640,
        1_024,
        15,
    ),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_structure_of_the_variants(name):
    found = material.structure(material.compiled(material.convnet(digits(), VARIANTS[name])))
    assert (found.parameters, found.multiply_adds, found.flattened, found.receptive_field) == STRUCTURES[name]


def test_memory_falls_with_the_maps():
    nbytes = {
        name: material.structure(material.compiled(material.convnet(digits(), stage))).training_nbytes
        for name, stage in VARIANTS.items()
    }
    # Without pooling every map of 26×26×32, 24×24×64 and 22×22×64 is kept for the backward pass.
    assert nbytes["no pooling"] >= 4 * (26 * 26 * 32 + 24 * 24 * 64 + 22 * 22 * 64)
    assert nbytes["max pooling"] < nbytes["no pooling"] / 3


@pytest.mark.parametrize("chain", [[(3, 1), (2, 2), (3, 1)], [(5, 2), (3, 3)], [(1, 1)]])
def test_the_receptive_field_is_where_the_gradient_is(chain):
    """Pixels with a gradient in a chain of sums: counted, not derived. A pool after the last convolution adds none."""
    stages = [layers.Conv2D(1, k, strides=s, kernel_initializer="ones") for k, s in chain]
    net = models.Sequential([layers.InputLayer((40, 40, 1)), *stages, layers.MaxPooling2D(2)])
    prefix = models.Model(net.input, stages[-1].output)
    prefix.compile("sgd", "mse")
    target = prefix.predict(np.zeros((1, 40, 40, 1)), verbose=0)
    target[0, 1, 1] = 1
    gradient = prefix.gradients(np.zeros((1, 40, 40, 1)), target, wants="input").input
    rows = np.flatnonzero(np.any(gradient[0, :, :, 0] != 0, axis=1))
    ops = [op for layer in net.layers for op in layer.lower(layer.input.shape[1:])]
    assert material.receptive_field(ops) == rows[-1] - rows[0] + 1


def test_images_move_and_the_edge_goes_on():
    image = np.arange(12.0).reshape(1, 3, 4, 1)
    down, up, right, left = (moved[0, :, :, 0] for moved in shifted(image, 1))
    whole = image[0, :, :, 0]
    np.testing.assert_array_equal(down, whole[[0, 0, 1]])
    np.testing.assert_array_equal(up, whole[[1, 2, 2]])
    np.testing.assert_array_equal(right, whole[:, [0, 0, 1, 2]])
    np.testing.assert_array_equal(left, whole[:, [1, 2, 3, 3]])


def test_classes_are_numbered_from_0():
    part = digits().of_classes(5, 10)
    assert part.classes == tuple("56789")
    assert set(part.training.labels) == set(range(5))
    whole = digits().training
    np.testing.assert_array_equal(part.training.images, whole.images[whole.labels >= 5])


# Runs and reports


@pytest.mark.parametrize("name", TINY)
def test_a_report_has_a_table_and_sentences(results, name):
    numbers, _ = results[name]
    report = EXPERIMENTS[name].report(numbers)
    assert len(report.table) > 2 and len({len(row) for row in report.table}) == 1
    assert len(report.seen) >= 2 and all(sentence.endswith(".") for sentence in report.seen)
    assert "nan" not in " ".join([*report.seen, *(cell for row in report.table for cell in row)])


@pytest.mark.parametrize("name", TINY)
def test_pictures_are_drawn(results, name, tmp_path):
    from minicnn import viz

    drawn = EXPERIMENTS[name].pictures(results[name][1])
    assert drawn
    for file, picture in drawn.items():
        (viz.save_animation if file.endswith(".gif") else viz.save)(picture, tmp_path / file)
        assert (tmp_path / file).stat().st_size > 1000


def test_frozen_features_stay_and_the_unfrozen_convolution_moves(results):
    assert results["feature-extraction"][0]["frozen_arrays_unchanged"] == 6
    assert results["fine-tuning"][0]["frozen_arrays_unchanged"] == 4
    counts = results["fine-tuning"][0]["trainable"]
    # A new head: 576·64 + 64 + 64·5 + 5; the last convolution: 9·64·64 + 64.
    assert counts["frozen features"] == 37_253
    assert counts["fine-tuned"] == 37_253 + 36_928
    assert counts["from scratch"] == 37_253 + 55_744


def test_the_report_says_that_steps_are_unequal(results):
    """By hand: an epoch of 16 or 32 images is one step, and an arm that goes on has its own steps besides."""
    assert results["feature-extraction"][0]["steps"] == {"from scratch": [2, 2], "frozen features": [2, 2]}
    numbers = results["fine-tuning"][0]
    assert numbers["steps"]["fine-tuned"] == numbers["steps"]["frozen, trained on"] == [4, 4]
    report = EXPERIMENTS["fine-tuning"].report(numbers)
    assert "One of the 32 test images is 3.12 points." in report.seen
    assert ["training steps", "2", "2", "4", "4"] in report.table
    said = (
        "unequal numbers of steps: “from scratch” and “frozen features” after 2 steps and “frozen, trained on” and "
        "“fine-tuned” after 4 steps"
    )
    assert said in " ".join(report.seen)
    equal = copy.deepcopy(numbers) | {"steps": {arm: [300, 301] for arm in numbers["steps"]}}
    said = " ".join(EXPERIMENTS["fine-tuning"].report(equal).seen)
    assert "the same number of steps, 300 to 301." in said and "unequal" not in said


def test_the_same_seed_gives_the_same_numbers(results):
    """Of a whole experiment: nothing draws from anywhere but the seeded stream."""
    again = EXPERIMENTS["augmentation"](digits(), 0, **TINY["augmentation"])
    assert json.loads(json.dumps(again.numbers)) == results["augmentation"][0]
    other = EXPERIMENTS["augmentation"](digits(), 1, **TINY["augmentation"])
    assert other.numbers != again.numbers


def test_sentences_follow_from_the_numbers(results):
    """Each with the numbers turned round says the opposite."""

    def said(name, change):
        numbers = copy.deepcopy(results[name][0])
        change(numbers)
        return " ".join(EXPERIMENTS[name].report(numbers).seen)

    def dense(a, b):
        def change(numbers):
            for net, value in zip(numbers["nets"].values(), (a, b), strict=True):
                net["accuracy"] = [value]

        return change

    assert "falls by 75%" in said("dense-vs-conv", dense(0.96, 0.99))
    assert "rises by 100%" in said("dense-vs-conv", dense(0.99, 0.98))

    def pooling(**accuracies):
        def change(numbers):
            for name, v in numbers["variants"].items():
                v["accuracy"] = accuracies.get(name.split(" ")[0].split("-")[0], [0.5, 0.6])
                v["shifted"] = [0.9] * 4 + [0.1 if name == "no pooling" else 0.8]

        return change

    clear = said("pooling", pooling(average=[0.97, 0.99]))
    assert (
        "that of average pooling, 98.00%, in every seed better than max pooling, no pooling and stride-2"
        in clear
    )
    assert "most with no pooling (80.0)" in clear
    assert "though no net is better in every seed" in said("pooling", pooling(max=[0.55, 0.9]))

    def transfer(frozen):
        return lambda numbers: numbers.update(
            accuracies={"from scratch": [0.5, 0.6], "frozen features": frozen}
        )

    assert "is ahead of training from scratch: +10.0" in said("feature-extraction", transfer([0.6, 0.7]))
    assert "is in 1 of 2 cases ahead" in said("feature-extraction", transfer([0.6, 0.5]))
    assert "is never ahead" in said("feature-extraction", transfer([0.1, 0.1]))

    def helped(numbers):
        for arms in numbers["curves"].values():
            arms["plain"]["test"][-1], arms["Dropout, augmented"]["test"][-1] = 0.8, 0.9

    assert "lowers the plain net's error rate with every number of images" in said("augmentation", helped)

    def hurt(numbers):
        for arms in numbers["curves"].values():
            arms["plain"]["test"][-1], arms["Dropout, augmented"]["test"][-1] = 0.9, 0.8

    assert "helped with no number of images" in said("augmentation", hurt)


def test_the_page_says_how_to_make_it():
    experiment = Experiment(
        name="e", question="q?", run=None, report=lambda numbers: ([["a"], ["1"]], ["Seen."]), pictures=None,
        whole={"train": 9}, quick={"train": 2},
    )  # fmt: skip
    object.__setattr__(experiment, "report", lambda numbers: _report())
    record = {"numbers": {}, "size": {"train": 2}, "data": "shapes", "seed": 3, "threads": 2}
    text = page(experiment, record, ["a_b.png"], "images/")
    assert "`minicnn study e --quick --data shapes --seed 3` with train = 2, 2 threads." in text
    assert "| a |\n|---|\n| 1 |" in text and "![a b](images/a_b.png)" in text


def _report():
    from minicnn.study.experiments.experiment import Report

    return Report([["a"], ["1"]], ["Seen."])


def test_shapes_pass_through_the_same_experiments():
    """Several channels, another size, six classes."""
    shapes = material.load("shapes").first(64, 32)
    run = EXPERIMENTS["visualise"](shapes, 1, **TINY["visualise"] | {"train": 32})
    assert run.arrays["ascent of " + next(iter(run.numbers["ascent"]))].shape[1:] == (64, 64, 3)
    assert EXPERIMENTS["visualise"].pictures(run)["heat.png"] is not None
