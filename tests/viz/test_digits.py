"""Which images `misclassified` draws, in which order, with which captions."""

import numpy as np
import pytest

from minicnn.viz import misclassified

Y_TRUE = np.array([0, 1, 2, 0, 1, 2], np.uint8)
Y_PRED = np.array([0, 2, 2, 1, 0, 1])
PROBABILITIES = np.array(
    [[0.9, 0.05, 0.05], [0.1, 0.2, 0.7], [0, 0, 1], [0.0002, 0.9996, 0.0002], [0.5, 0.3, 0.2], [0, 1, 0]]
)
IMAGES = np.arange(6, dtype=np.uint8)[:, None, None] + np.zeros((6, 3, 4), np.uint8)


def captions(axes) -> list[tuple[str, str]]:
    return [(ax.get_title(), ax.get_xlabel()) for ax in axes]


def drawn(axes) -> list[float]:
    """The value of the first pixel of each image drawn: above, the image's number."""
    return [ax.images[0].get_array().flat[0] for ax in axes]


def test_most_confidently_wrong_first():
    axes = misclassified(IMAGES, Y_TRUE, Y_PRED, PROBABILITIES)
    assert captions(axes) == [
        ("2 → 1", "100.0%"),
        ("0 → 1", ">99.9%"),
        ("1 → 2", "70.0%"),
        ("1 → 0", "50.0%"),
    ]
    assert drawn(axes) == [5, 3, 1, 4]
    (figure,) = {ax.figure for ax in axes}
    assert figure.axes == axes
    assert figure.get_suptitle() == "4 of 6 images misclassified"
    assert figure.get_supxlabel() == "label → prediction and its probability; most confident first"


def test_least_confident_first():
    axes = misclassified(IMAGES, Y_TRUE, Y_PRED, PROBABILITIES, order="unsure")
    assert drawn(axes) == [4, 1, 3, 5]
    assert axes[0].figure.get_supxlabel().endswith("least confident first")


@pytest.mark.parametrize("limit", [1, 3])
def test_limit(limit):
    axes = misclassified(IMAGES, Y_TRUE, Y_PRED, PROBABILITIES, limit)
    assert drawn(axes) == [5, 3, 1][:limit]
    assert axes[0].figure.get_suptitle() == "4 of 6 images misclassified"
    assert axes[0].figure.get_supxlabel().endswith(f"the {limit} most confident")


def test_equally_confident_images_keep_their_order():
    axes = misclassified(IMAGES, np.zeros(6, int), np.ones(6, int), np.full((6, 2), 0.5))
    assert drawn(axes) == [0, 1, 2, 3, 4, 5]


def test_nothing_misclassified():
    (ax,) = misclassified(IMAGES, Y_TRUE, Y_TRUE, PROBABILITIES)
    assert [text.get_text() for text in ax.texts] == ["None of 6 images misclassified"]
    assert not ax.images


@pytest.mark.parametrize("shape", [(6, 3, 4), (6, 3, 4, 1)])
@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.float32, 1)])
def test_grey_images_are_ink_on_paper(shape, dtype, white):
    ax = misclassified(np.zeros(shape, dtype), Y_TRUE, Y_PRED, PROBABILITIES)[0]
    (image,) = ax.images
    assert image.get_array().shape == (3, 4)
    assert image.get_clim() == (0, white)
    assert image.cmap(0.0)[:3] == (1, 1, 1) and image.cmap(1.0)[:3] == (0, 0, 0)


def test_colour_images():
    axes = misclassified(np.zeros((6, 3, 4, 3), np.uint8), Y_TRUE, Y_PRED, PROBABILITIES)
    assert axes[0].images[0].get_array().shape == (3, 4, 3)


def test_class_names():
    axes = misclassified(IMAGES, Y_TRUE, Y_PRED, PROBABILITIES, class_names=["Coat", "Bag", r"$\odd$"])
    assert [ax.get_title() for ax in axes] == [
        "$\\odd$\n→ Bag",
        "Coat\n→ Bag",
        "Bag\n→ $\\odd$",
        "Bag\n→ Coat",
    ]
    axes[0].figure.savefig("/dev/null", format="png")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": IMAGES[:5]}, "Received 5, 6, 6 and 6"),
        ({"images": IMAGES.reshape(6, 12)}, r"`images` must be .*\(6, 12\)"),
        ({"images": np.zeros((6, 3, 4, 2))}, r"`images` must be .*\(6, 3, 4, 2\)"),
        ({"y_true": Y_TRUE[:5]}, "Received 6, 5, 6 and 6"),
        ({"y_true": np.eye(3)[Y_TRUE]}, "`y_true` must be class numbers"),
        ({"y_pred": Y_PRED * 1.0}, "`y_pred` must be class numbers"),
        ({"y_pred": -Y_PRED}, "`y_pred` must be class numbers"),
        ({"probabilities": PROBABILITIES[:, :2]}, r"K at least 3. Received shape=\(6, 2\)"),
        ({"probabilities": PROBABILITIES.max(1)}, r"must be \(N, K\).* Received shape=\(6,\)"),
        ({"limit": 0}, "limit=0"),
        ({"class_names": ["a", "b"]}, "Received 2 names"),
    ],
)
def test_bad_input(change, message):
    arguments = {"images": IMAGES, "y_true": Y_TRUE, "y_pred": Y_PRED, "probabilities": PROBABILITIES}
    with pytest.raises(ValueError, match=message):
        misclassified(**(arguments | change))


def test_labels_of_uint8_up_to_255_do_not_overflow():
    y_true, y_pred = np.array([255, 0], np.uint8), np.array([255, 255], np.uint8)
    axes = misclassified(IMAGES[:2], y_true, y_pred, np.full((2, 256), 1 / 256))
    assert captions(axes) == [("0 → 255", "0.4%")]
    with pytest.raises(ValueError, match="K at least 256"):
        misclassified(IMAGES[:2], y_true, y_pred, np.full((2, 255), 1 / 255))
