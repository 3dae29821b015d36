"""Protocols: typical mistakes in the lists of images are refused, and named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sadcl import files, params
from sadcl.data.splits import protocols
from sadcl.errors import SadclError
from tests.paths import REPOSITORY

PAPERS = sorted((REPOSITORY / "recipes").glob("*-r101-*.yaml"))
WITH_UNLABELLED, WITHOUT_UNLABELLED = "'COCO 2014 with unlabelled images'", "'COCO 2014 without unlabelled images'"

Ids = dict[str, list[str]]


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return dict(np.load(REPOSITORY / "tests/golden/coco14_labels.npz"))


@pytest.fixture
def without_unlabelled(golden: dict[str, Any]) -> Ids:
    """COCO 2014 without unlabelled images; a twentieth of train is select."""
    train, test = ([str(i) for i in golden[f"{split}_ids"]] for split in ("train", "val"))
    return {"train": train[4_000:], "select": train[:4_000], "test": test}


@pytest.fixture
def with_unlabelled(without_unlabelled: Ids, golden: dict[str, Any]) -> Ids:
    """COCO 2014 with unlabelled images."""
    train, test = ([str(i) for i in golden[f"{split}_ids_without_labels"]] for split in ("train", "val"))
    return {
        "train": [*train, *without_unlabelled["train"]],
        "select": without_unlabelled["select"],
        "test": [*without_unlabelled["test"], *test],
    }


def recipe(name: str = "coco2014-r101-448") -> Any:
    return params.load(path=REPOSITORY / f"recipes/{name}.yaml").ingest.protocol


def protocol_of(train: dict[str, Any], test: dict[str, Any]) -> Any:
    return params.Ingest(source="x", annotations={}, images={}, protocol={"train": train, "test": test}).protocol


def refused(ids: Ids, protocol: Any) -> str:
    with pytest.raises(SadclError) as caught:
        protocols.check(ids, protocol)
    return str(caught.value)


def test_coco_2014_both_ways(with_unlabelled: Ids, without_unlabelled: Ids) -> None:
    protocols.check(with_unlabelled, recipe())
    protocols.check(with_unlabelled, recipe("coco2014-r101-448-576"))
    text = (REPOSITORY / "recipes/coco2014-r101-448.yaml").read_text()
    lines = [line.strip(" #") for line in text.splitlines() if "82081" in line or "40137" in line]
    lists = yaml.safe_load("\n".join(lines))
    protocols.check(without_unlabelled, protocol_of(lists["train"], lists["test"]))


def test_unlabelled_images_left_out_by_mistake(with_unlabelled: Ids, without_unlabelled: Ids) -> None:
    message = refused(without_unlabelled, recipe())
    assert (
        f"The train images are not those of the protocol: expected 82,783 (the train images of {WITH_UNLABELLED})"
        in message
    )
    assert f"the source has 82,081 (the train images of {WITHOUT_UNLABELLED})" in message
    assert "ingest.keep_unlabelled" in message
    assert f"ids: {files.digest_of_ids([*without_unlabelled['train'], *without_unlabelled['select']])}" in message


def test_a_test_list_of_the_other_kind(with_unlabelled: Ids, without_unlabelled: Ids) -> None:
    message = refused({**with_unlabelled, "test": without_unlabelled["test"]}, recipe())
    assert f"expected 40,504 (the test images of {WITH_UNLABELLED})" in message
    assert f"the source has 40,137 (the test images of {WITHOUT_UNLABELLED})" in message


def test_settings_that_mix_both_kinds(with_unlabelled: Ids, without_unlabelled: Ids) -> None:
    mixed = protocol_of(recipe()["train"].model_dump(), {"images": 40_137})
    message = refused({**with_unlabelled, "test": without_unlabelled["test"]}, mixed)
    assert f"trains on a list of {WITH_UNLABELLED} and tests on one of {WITHOUT_UNLABELLED}" in message


def test_the_validation_list_used_for_training(with_unlabelled: Ids) -> None:
    message = refused({"train": with_unlabelled["test"], "test": with_unlabelled["train"]}, recipe())
    assert f"the source has 40,504 (the test images of {WITH_UNLABELLED})" in message


def test_a_list_of_the_right_length_with_another_image(with_unlabelled: Ids) -> None:
    message = refused({**with_unlabelled, "test": [*with_unlabelled["test"][1:], "0"]}, recipe())
    assert f"40,504 (as many as the test images of {WITH_UNLABELLED}, but different ones)" in message


def test_an_unknown_list(with_unlabelled: Ids) -> None:
    assert "the source has 7 (of no known protocol)" in refused({**with_unlabelled, "test": list("abcdefg")}, recipe())


def test_a_number_of_images_is_checked_where_ids_are_unknown(with_unlabelled: Ids) -> None:
    protocol = protocol_of({"images": 3, "ids": None}, {"images": 2, "ids": None})
    protocols.check({"train": ["a"], "select": ["b", "c"], "test": ["d", "e"]}, protocol)
    assert "The test images" in refused({"train": ["a"], "select": ["b", "c"], "test": ["d"]}, protocol)


def test_without_a_protocol_nothing_is_checked() -> None:
    protocols.check({"train": ["a"]}, {})


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_the_recipes_of_the_paper_name_known_protocols(path: Path) -> None:
    protocol = params.load(path=path).ingest.protocol
    assert [known.name for known in protocols.KNOWN if {"train": known.train, "test": known.test} == protocol]


def test_an_invalid_digest_is_refused() -> None:
    with pytest.raises(ValueError, match="ids"):
        protocol_of({"images": 3, "ids": "82783"}, {"images": 2})
