"""The photos that a model was trained on: what a head says of them, in this version and in earlier ones."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sadcl.errors import SadclError
from sadcl.weights import training_photos

DIGESTS = ["f" * 64, "0123456789abcdef" + "0" * 48, "f" * 16 + "0" * 48]


def test_photos_are_read_as_they_were_written() -> None:
    photos = training_photos.prefixes(DIGESTS)
    head = {training_photos.KEY: training_photos.dump(photos)}
    assert training_photos.load(head).tolist() == [0x0123456789ABCDEF, 2**64 - 1]
    assert training_photos.dump(photos[::-1]) == training_photos.dump(photos)


def test_heads_of_earlier_versions_are_read() -> None:
    head: dict[str, Any] = {"seen": ["0123456789abcdef", "ffffffffffffffff"]}
    assert training_photos.load(head).tolist() == [0x0123456789ABCDEF, 2**64 - 1]
    assert len(training_photos.load({"seen": []})) == 0


@pytest.mark.parametrize("value", ["no base64", "QUJD", 7, [7], ["no digits"], {"a": 1}])
def test_a_damaged_list_is_refused(value: Any) -> None:
    for key in (training_photos.KEY, training_photos.EARLIER_KEY):
        with pytest.raises(SadclError, match="no usable list of the photos"):
            training_photos.load({key: value}, Path("weights.safetensors"))


def test_without_a_list_no_photo_is_known() -> None:
    assert training_photos.load({}).dtype == np.uint64
    assert not training_photos.is_recorded({})
    assert training_photos.is_recorded({"seen": []})
    assert training_photos.is_recorded({"training_photos": ""})
