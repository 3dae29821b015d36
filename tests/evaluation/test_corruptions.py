"""Photos as they may arrive: spoilt in a way that can be seen, always the same, and never beyond use."""

import numpy as np
import pytest
from PIL import Image

from sadcl.evaluation.corruptions import CORRUPTIONS
from sadcl.params import Evaluate


def photo(side=96):
    """Edges, colours and a texture."""
    y, x = np.mgrid[:side, :side]
    image = np.stack([x * 255 // side, y * 255 // side, ((x // 6 + y // 6) % 2) * 200], axis=2)
    return image.astype(np.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_photo_is_corrupted_and_stays_a_photo(name):
    clean = photo()
    corrupted = CORRUPTIONS[name](clean)
    assert (corrupted.shape, corrupted.dtype) == (clean.shape, np.uint8)
    assert 3 < np.abs(corrupted.astype(int) - clean).mean() < 100
    assert np.corrcoef(corrupted.ravel(), clean.ravel())[0, 1] > 0.6
    np.testing.assert_array_equal(corrupted, CORRUPTIONS[name](clean))
    np.testing.assert_array_equal(clean, photo())


def test_noise_differs_from_photo_to_photo():
    one, other = photo(), np.asarray(Image.fromarray(photo()).transpose(Image.Transpose.ROTATE_180))
    added = [CORRUPTIONS["noise"](image).astype(int) - image for image in (one, other)]
    assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 0.05


def test_settings_take_each_of_them():
    assert Evaluate(corruptions=tuple(CORRUPTIONS)).corruptions == tuple(CORRUPTIONS)
