"""Figures stand on the lists that their protocol names: the classic mistakes are refused, and told by name."""

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
KEPT, DROPPED = "'COCO 2014 with unlabelled images'", "'COCO 2014 without unlabelled images'"

Ids = dict[str, list[str]]


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return dict(np.load(REPOSITORY / "tests/golden/coco14_labels.npz"))


@pytest.fixture
def dropped(golden: dict[str, Any]) -> Ids:
    """COCO 2014 without unlabelled images; a twentieth of train is select."""
    train, test = ([str(i) for i in golden[f"{split}_ids"]] for split in ("train", "val"))
    return {"train": train[4_000:], "select": train[:4_000], "test": test}


@pytest.fixture
def kept(dropped: Ids, golden: dict[str, Any]) -> Ids:
    """COCO 2014 with unlabelled images."""
    train, test = ([str(i) for i in golden[f"{split}_ids_without_labels"]] for split in ("train", "val"))
    return {"train": [*train, *dropped["train"]], "select": dropped["select"], "test": [*dropped["test"], *test]}


def recipe(name: str = "coco2014-r101-448") -> Any:
    return params.load(path=REPOSITORY / f"recipes/{name}.yaml").ingest.protocol


def of(train: dict[str, Any], test: dict[str, Any]) -> Any:
    return params.Ingest(source="x", annotations={}, images={}, protocol={"train": train, "test": test}).protocol


def refused(ids: Ids, wanted: Any) -> str:
    with pytest.raises(SadclError) as caught:
        protocols.check(ids, wanted)
    return str(caught.value)


def test_coco_2014_both_ways(kept: Ids, dropped: Ids) -> None:
    protocols.check(kept, recipe())
    protocols.check(kept, recipe("coco2014-r101-448-576"))
    text = (REPOSITORY / "recipes/coco2014-r101-448.yaml").read_text()
    lines = [line.strip(" #") for line in text.splitlines() if "82081" in line or "40137" in line]
    other = yaml.safe_load("\n".join(lines))
    protocols.check(dropped, of(other["train"], other["test"]))


def test_unlabelled_images_left_out_by_mistake(kept: Ids, dropped: Ids) -> None:
    words = refused(dropped, recipe())
    assert f"The train images are not those of the protocol: it has 82,783 (the train images of {KEPT})" in words
    assert f"these are 82,081 (the train images of {DROPPED})" in words
    assert "ingest.keep_unlabelled" in words
    assert f"ids: {files.digest_of_ids([*dropped['train'], *dropped['select']])}" in words


def test_a_test_list_of_the_other_kind(kept: Ids, dropped: Ids) -> None:
    words = refused({**kept, "test": dropped["test"]}, recipe())
    assert f"it has 40,504 (the test images of {KEPT}), and these are 40,137 (the test images of {DROPPED})" in words


def test_settings_that_mix_both_kinds(kept: Ids, dropped: Ids) -> None:
    mixed = of(recipe()["train"].model_dump(), {"images": 40_137})
    words = refused({**kept, "test": dropped["test"]}, mixed)
    assert f"trains on a list of {KEPT} and tests on one of {DROPPED}" in words


def test_the_validation_list_used_for_training(kept: Ids) -> None:
    words = refused({"train": kept["test"], "test": kept["train"]}, recipe())
    assert f"these are 40,504 (the test images of {KEPT})" in words


def test_a_list_of_the_right_length_with_another_image(kept: Ids) -> None:
    words = refused({**kept, "test": [*kept["test"][1:], "0"]}, recipe())
    assert f"40,504 (as many as the test images of {KEPT}, but others)" in words


def test_a_list_of_nobody(kept: Ids) -> None:
    assert "these are 7 (of no protocol that is known here)" in refused({**kept, "test": list("abcdefg")}, recipe())


def test_where_only_a_number_is_known_it_is_held(kept: Ids) -> None:
    wanted = of({"images": 3, "ids": None}, {"images": 2, "ids": None})
    protocols.check({"train": ["a"], "select": ["b", "c"], "test": ["d", "e"]}, wanted)
    assert "The test images" in refused({"train": ["a"], "select": ["b", "c"], "test": ["d"]}, wanted)


def test_without_a_protocol_nothing_is_held() -> None:
    protocols.check({"train": ["a"]}, {})


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_a_papers_recipe_names_a_protocol_of_the_field(path: Path) -> None:
    wanted = params.load(path=path).ingest.protocol
    assert [known.name for known in protocols.KNOWN if {"train": known.train, "test": known.test} == wanted]


def test_a_digest_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="ids"):
        of({"images": 3, "ids": "82783"}, {"images": 2})
