"""Settings: strict about keys, kind about mistakes."""

from pathlib import Path

import pytest

from sadcl import params
from sadcl.errors import SadclError
from tests.paths import REPOSITORY

DEMO = REPOSITORY / "recipes/demo.yaml"


def test_a_stage_sees_the_sections_it_asked_for_and_no_other() -> None:
    settings = params.load("train", "seed", path=DEMO)
    assert settings.train.batch == 50
    with pytest.raises(AttributeError):
        _ = settings.gate


def test_a_stage_can_ask_for_one_setting_of_a_section() -> None:
    settings = params.load("evaluate", "register.runtime", path=DEMO)
    assert settings.register_.runtime == "torch"
    with pytest.raises(AttributeError):
        _ = settings.register_.name
    one = params.load("evaluate.batch", path=DEMO).evaluate
    with pytest.raises(AttributeError):  # not its default
        _ = one.threshold


@pytest.mark.parametrize(
    ("section", "key", "value", "words"),
    [
        ("train", "weight_decai", 1, r"Unknown setting train\.weight_decai; the nearest known one is weight_decay"),
        ("train", "lr", -1, r"Setting train\.lr: .*greater than 0.* -1"),
        ("model", "side", 0, "greater than 0"),
        ("prepare", "short_side", 0, "greater than or equal to 1"),
        ("train", "lr", float("inf"), "finite"),
        ("train", "sample_to_sample", float("inf"), "finite"),
        ("gate", "published", {"nme": "a"}, r"published\.nme; the nearest known one is name"),
        ("tune", "space", {"train.lr": {"lwo": 1}}, r"lwo; the nearest known one is low"),
        ("model", "std", [0.5, 0, 0.5], r"Setting model\.std\.1: .*greater than 0.* 0"),
        ("model", "std", [0.5, 0.5, float("inf")], r"Setting model\.std\.2: .*finite"),
        ("model", "mean", [float("nan"), 0.5, 0.5], r"Setting model\.mean\.0: .*finite"),
        ("gate", "rules", [], "at least 1"),
        (
            "gate",
            "rules",
            [{"metric": "mAP"}],
            r"0\.kind must be one of absolute, relative, per class, slice, cost, probe \(",
        ),
        (
            "gate",
            "rules",
            [{"kind": "relativ"}],
            "one of absolute, relative, per class, slice, cost, probe, but it is 'relativ'",
        ),
        ("gate", "rules", [{"kind": "per class", "margni": 1}], r"per class\.margni; the nearest known one is margin"),
        (
            "gate",
            "rules",
            [{"kind": "relative", "margin": 1}],
            r"^Setting gate\.rules\.0\.relative\.metric is missing \(",
        ),
    ],
)
def test_a_mistake_is_named_with_what_to_write_instead(section: str, key: str, value: object, words: str) -> None:
    raw = params.read_settings(DEMO)
    raw[section][key] = value
    with pytest.raises(SadclError, match=words):
        params.parse(raw, where="params.yaml")


def test_a_missing_key_is_named() -> None:
    raw = params.read_settings(DEMO)
    del raw["train"]["lr"]
    with pytest.raises(SadclError, match=r"Setting train\.lr is missing"):
        params.parse(raw, where="params.yaml")


@pytest.mark.parametrize("text", ["a: [", "- 1", ""])
def test_a_file_that_is_no_mapping_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(SadclError, match="settings"):
        params.load(path=tmp_path / "params.yaml")
    with pytest.raises(SadclError, match="no settings"):
        params.load(path=tmp_path / "none.yaml")


MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{i + 1}: &a{i + 1} {{<<: [{', '.join([f'*a{i}'] * 9)}]}}\n" for i in range(12))
LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 9)}]\n" for i in range(9))


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 5000,
        "a: " + "x" * 300_000,
        LAUGHS,
        MERGES,
        "a: &a {b: *a}",
        "a: &a {<<: *a}",
        "a: 0x" + "f" * 9000,
    ],
)  # fmt: skip
def test_settings_that_would_exhaust_the_machine_are_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(SadclError, match=r"The settings are (too large|not YAML)"):
        params.read_settings(tmp_path / "params.yaml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: " + "x" * 300_000, "more than 200,000 characters"),
        ("seed: 99999999999999999999", "a number above"),
        ("a: &a {b: *a}", "more than 20,000 values"),
    ],
)
def test_settings_that_are_too_large_name_the_bound(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(SadclError, match=f"The settings are too large: {words}"):
        params.read_settings(tmp_path / "params.yaml")


@pytest.mark.parametrize("text", ["a: 2001-99-99", "? [a]\n: b", "a: !!python/object:os.system {}", "a: !!int x"])
def test_a_value_that_yaml_cannot_read_is_a_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "params.yaml").write_text(text)
    with pytest.raises(SadclError, match="The settings are not YAML"):
        params.read_settings(tmp_path / "params.yaml")


def test_settings_may_repeat_a_part_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("a: &a {x: 1}\nb: {<<: *a, y: 2}\nc: *a\n")
    assert params.read_settings(tmp_path / "params.yaml")["b"] == {"x": 1, "y": 2}


def test_settings_cannot_be_changed_by_accident() -> None:
    with pytest.raises(ValueError, match="frozen"):
        params.load(path=DEMO).train.lr = 1  # type: ignore[misc]
