"""Pictures of digits become what MNIST's images are: checked on MNIST's own."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from minicnn import digits
from minicnn.datasets import mnist
from minicnn.digits import prepare, read_digit
from minicnn.errors import DataError

IMAGES = mnist.load_data()[1][0][:500]


def difference(a, b):
    """Sum of the differences in proportion to the ink."""
    return np.abs(a.astype(int) - b).sum() / b.sum()


def test_mnist_images_stay_what_they_are():
    """One level of rounding where the darkest pixel was not 255."""
    for image in IMAGES:
        assert np.abs(prepare(image.astype(float), "").astype(int) - image).max() <= 2


@given(
    k=st.integers(0, len(IMAGES) - 1),
    margins=st.tuples(*[st.integers(1, 30)] * 4),
    dark_on_light=st.booleans(),
    paper=st.integers(0, 120),
    ink=st.integers(150, 255),
)
def test_place_colours_and_paper_do_not_matter(k, margins, dark_on_light, paper, ink):
    top, bottom, left, right = margins
    image = np.pad(IMAGES[k].astype(float), ((top, bottom), (left, right)))
    grey = paper + (ink - paper) * image / 255  # not rounded: MNIST's box can end at a pixel of level 1
    prepared = prepare(255 - grey if dark_on_light else grey, "")
    assert np.abs(prepared.astype(int) - IMAGES[k]).max() <= 2


@pytest.mark.parametrize("factor", [2, 5, 16])
def test_size_does_not_matter(factor):
    for image in IMAGES[:100]:
        large = np.kron(image, np.ones((factor, factor)))
        assert np.abs(prepare(large, "").astype(int) - image).max() <= 2


def test_noise_of_the_paper_is_no_ink():
    rng = np.random.default_rng(0)
    for image in IMAGES[:100]:
        large = 230 - 0.8 * np.pad(np.kron(image, np.ones((8, 8))), 100)
        photo = np.clip(large + rng.normal(0, 3, large.shape), 0, 255)
        assert difference(prepare(photo, ""), image) < 0.25  # strokes' faint edges go with the noise


def test_it_always_fits():
    for grey in (np.eye(7) * 255, np.pad(np.full((1, 90), 255.0), 3), np.pad(np.full((90, 1), 255.0), 3)):
        prepared = prepare(grey, "")
        rows, columns = (np.flatnonzero(prepared.any(axis)) for axis in (1, 0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == digits.BOX
        assert prepared.shape == (28, 28) and prepared.dtype == np.uint8 and prepared.max() == 255


@pytest.mark.parametrize("grey", [np.zeros((9, 9)), np.full((28, 28), 255.0), np.full((1, 1), 7.0)])
def test_blank_pictures(grey):
    with pytest.raises(DataError, match=r"a\.png must show a digit\. Received a blank picture"):
        prepare(grey, "a.png")


class TestFiles:
    def image(self):
        return IMAGES[3]

    @pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16", "LA"])
    def test_modes(self, tmp_path, mode):
        path, image = tmp_path / "digit.png", self.image()
        if mode == "I;16":
            picture = Image.fromarray(image.astype(np.uint16) * 257)
        elif mode == "RGBA":  # ink drawn on nothing
            layers = np.zeros((28, 28, 4), np.uint8)
            layers[..., 3] = image
            picture = Image.fromarray(layers)
        else:
            picture = Image.fromarray(image).convert(mode)
        picture.save(path)
        expected = np.where(image > 127, 255, 0) if mode == "1" else image
        # Dithering to one bit scatters dots; what is asked is that it is read at all.
        assert difference(read_digit(path), expected) < (1.0 if mode == "1" else 0.02)

    def test_rotation_of_the_camera(self, tmp_path):
        picture = Image.fromarray(np.rot90(self.image()).copy())
        exif = picture.getexif()
        exif[0x0112] = 6  # turn clockwise to see it upright
        picture.save(tmp_path / "digit.png", exif=exif)
        assert difference(read_digit(tmp_path / "digit.png"), self.image()) < 0.02

    @pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n"])
    def test_not_a_picture(self, tmp_path, content):
        path = tmp_path / "digit.png"
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"digit\.png' must be a picture that can be read"):
            read_digit(path)

    def test_truncated(self, tmp_path):
        path = tmp_path / "digit.png"
        Image.fromarray(self.image()).save(path)
        path.write_bytes(path.read_bytes()[:-60])
        with pytest.raises(DataError, match="must be a picture"):
            read_digit(path)

    def test_too_large(self, tmp_path, monkeypatch):
        path = tmp_path / "digit.png"
        Image.fromarray(self.image()).save(path)
        monkeypatch.setattr(digits, "MAX_PIXELS", 100)
        with pytest.raises(DataError, match=r"at most 100 pixels\. Received 28×28"):
            read_digit(path)

    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError):
            read_digit(tmp_path / "digit.png")
