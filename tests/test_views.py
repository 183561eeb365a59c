"""Views: upright by the file's orientation, one tone curve for all that is shown of an image."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from denoise.files.image_file import ImageFile
from denoise.files.images import read_image
from denoise.pictures.views import ToneCurve, Turn, as_png, tone_curve, uncertainty_view


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def _tiff(pixels, orientation):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "TIFF", tiffinfo={274: orientation})
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_those_of_pillow(orientation, rng):
    pixels = rng.integers(0, 256, (5, 7), np.uint8)
    data = _tiff(pixels, orientation)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    turn = Turn(read_image(data))
    assert np.array_equal(turn.upright(pixels), expected)
    box = turn.box_in_file(1, 2, 3, 2, expected.shape)
    assert np.array_equal(turn.upright(pixels[box]), expected[1:4, 2:4])


def test_an_unknown_orientation_is_none():
    image = read_image(_tiff(np.arange(6, dtype=np.uint8).reshape(2, 3), 9))
    assert np.array_equal(Turn(image).upright(image.pixels), image.pixels)


def test_bytes_are_shown_as_they_are(rng):
    pixels = rng.integers(0, 256, (4, 5)).astype(np.float32)
    curve = tone_curve(ImageFile(Path("a.png"), pixels))
    assert curve == ToneCurve(0, 255)
    assert np.array_equal(curve.shown(pixels), pixels)


def test_deep_images_fill_the_range_and_missing_pixels_are_black(rng):
    pixels = rng.uniform(3.0, 4.0, (200, 200)).astype(np.float32)
    pixels[0, 0], pixels[0, 1] = np.nan, 1e6
    void = np.zeros((200, 200), bool)
    void[0, 1] = True
    curve = tone_curve(ImageFile(Path("a.tif"), pixels, sample_type="float32", void=void))
    assert curve.black == pytest.approx(3.001, abs=3e-4)
    assert curve.white == pytest.approx(3.999, abs=3e-4)
    assert curve.shown(np.array([np.nan, 0, curve.black, 3.5, 9])).tolist() == [0, 0, 0, 128, 255]


def test_an_image_without_a_value_has_a_curve():
    pixels = np.full((3, 3), np.nan, np.float32)
    curve = tone_curve(ImageFile(Path("a.tif"), pixels, sample_type="float32"))
    assert not curve.shown(pixels).any()


def test_uncertainty_is_white_where_it_is_largest():
    assert uncertainty_view(np.array([[0.0, 2.0], [4.0, 1.0]])).tolist() == [
        [0, 127.5],
        [255, 63.75],
    ]


def test_a_png_keeps_pixels_and_profile(rng):
    pixels = rng.integers(0, 256, (6, 4, 3), np.uint8)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found = read_image(as_png(pixels, profile))
    assert np.array_equal(found.pixels, pixels)
    assert found.metadata.icc_profile == profile
    assert np.array_equal(read_image(as_png(pixels[..., 0])).pixels, pixels[..., 0])
