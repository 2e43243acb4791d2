"""Lines, mosaics, overlays and animations: what is drawn where, read back from the Axes."""

import numpy as np
import pytest
from PIL import Image

from minicnn import viz
from minicnn.viz.style import SERIES, new_figure


def test_lines_have_a_look_each():
    series = {f"line {k}": ([1, 10, 100], [k, k + 1, k]) for k in range(6)}
    ax = viz.lines(series, "title", ("x", "y"), log="x", percent=True)
    assert [line.get_label() for line in ax.lines] == list(series)
    looks = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in ax.lines}
    assert len(looks) == len({look[0] for look in looks}) == len({look[2] for look in looks}) == len(SERIES)
    for line, (x, y) in zip(ax.lines, series.values(), strict=True):
        np.testing.assert_array_equal(line.get_xydata(), np.transpose([x, y]))
    assert ax.get_xscale() == "log" and ax.get_yscale() == "linear"
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1", "10", "100"]
    ax.figure.draw_without_rendering()
    assert all(text.get_text().endswith("%") for text in ax.get_yticklabels())


@pytest.mark.parametrize(
    "series",
    [
        {},
        {str(k): ([1], [1]) for k in range(7)},
        {"a": ([1, 2], [1])},
        {"a": ([], [])},
        {"a": ([[1]], [[1]])},
    ],
)
def test_lines_refuse(series):
    with pytest.raises(ValueError, match="Received"):
        viz.lines(series, "title", ("x", "y"))


def test_a_mosaic_has_every_pixel_in_its_place():
    images = np.arange(5 * 2 * 3).reshape(5, 2, 3)
    whole = viz.mosaic(images, 2, gap=1)
    assert whole.shape == (3 * 3 - 1, 2 * 4 - 1)
    for k, image in enumerate(images):
        i, j = k // 2 * 3, k % 2 * 4
        np.testing.assert_array_equal(whole[i : i + 2, j : j + 3], image)
    assert np.isnan(whole).sum() == whole.size - images.size


def test_rare_colours_stay_in_an_animation(tmp_path):
    """One dark red number of a kernel in the first frame, beside maps that are dark violet."""
    kernel, maps = np.zeros((1, 3, 3)), np.random.default_rng(0).random((64, 12, 12))
    frames = []
    for value in (1.0, 0.0):
        kernel[0, 1, 1] = value
        figure = new_figure(6.0, 2.0)
        left, right = (figure.add_subplot(1, 2, k) for k in (1, 2))
        viz.tiles(kernel, "k", signed=True, largest=1.0, ax=left)
        viz.tiles(maps, "m", ax=right)
        frames.append(figure)
    viz.save_animation(frames, tmp_path / "a.gif")
    with Image.open(tmp_path / "a.gif") as animation:
        pixels = np.asarray(animation.convert("RGB")).reshape(-1, 3).astype(int)
    # RdBu_r ends in (103, 0, 31); viridis begins with (68, 1, 84).
    assert abs(pixels - [103, 0, 31]).max(1).min() <= 8
    assert (pixels[0] == 255).all()


def test_tiles_scale_colours():
    images = np.float32([[[0, 1]], [[-2, 4]]])
    (picture,) = viz.tiles(images, "t", signed=True).images
    assert picture.get_clim() == (-4, 4)
    (picture,) = viz.tiles(images, "t").images
    assert picture.get_clim() == (-2, 4)
    (picture,) = viz.tiles(images, "t", signed=True, largest=8.0).images
    assert picture.get_clim() == (-8, 8)
    pixels = np.ix_([0, 15], [0, 14])  # each is drawn as 14 × 14, and between the rows lies one of the gap
    (picture,) = viz.tiles(images, "t", each=True, columns=1).images
    np.testing.assert_array_equal(picture.get_array()[pixels], [[0, 1], [0, 1]])
    (picture,) = viz.tiles(images, "t", each=True, signed=True, columns=1).images
    np.testing.assert_array_equal(picture.get_array()[pixels], [[0, 1], [-0.5, 1]])
    (picture,) = viz.tiles(np.full((2, 3, 3, 3), 0.25), "t").images
    pixels = picture.get_array()
    assert set(np.unique(pixels)) == {0.25, 0x9A / 255}
    for edge in (pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]):  # a white tile would have no end
        assert (edge == 0x9A / 255).all()


@pytest.mark.parametrize("shape", [(3, 3), (0, 3, 3), (2, 3, 3, 2)])
def test_tiles_refuse(shape):
    with pytest.raises(ValueError, match="`images` must be"):
        viz.tiles(np.zeros(shape), "t")


@pytest.mark.parametrize("channels", [1, 3])
def test_overlays_cover_the_image(channels):
    heat = np.float32([[0, 1], [2, 3]])
    axes = viz.overlays(np.zeros((6, 5, channels)), [heat, heat], ["a", "b"], ["first", "second"])
    assert [len(ax.images) for ax in axes] == [1, 2, 2]
    assert [list(picture.get_extent()) for picture in axes[1].images] == 2 * [[-0.5, 4.5, 5.5, -0.5]]
    assert [ax.get_title(loc="left") for ax in axes] == ["the image", "a", "b"]
    assert [ax.get_xlabel() for ax in axes] == ["", "first", "second"]


def test_an_animation_has_its_frames(tmp_path):
    figures = [new_figure(2.0, 1.0) for _ in range(3)]
    for k, figure in enumerate(figures):
        figure.add_subplot().plot([0, k])
    viz.save_animation(figures, tmp_path / "a.gif", frame_s=0.25)
    with Image.open(tmp_path / "a.gif") as image:
        assert (image.n_frames, image.info["duration"], image.info["loop"]) == (3, 250, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_an_animation_refuses(tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.gif"):
        viz.save_animation([new_figure(1.0, 1.0)], tmp_path / "a.png")
    with pytest.raises(ValueError, match="at least one figure"):
        viz.save_animation([], tmp_path / "a.gif")
