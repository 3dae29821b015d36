"""Code of registered models: a version with code or settings of its own is refused by its tags alone."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import sadcl
from sadcl import files
from sadcl.errors import SadclError
from sadcl.registry import artifacts, eligibility, lookup, model_code, model_files, package
from sadcl.registry.client import connect
from sadcl.registry.promote import promote
from sadcl.registry.publish import publish
from sadcl.registry.sync import sync
from sadcl.review.snapshot import snapshot_from_mlflow

Stages = Callable[..., None]
Tags = dict[str, str]


def tags_of(name: str = "tiny", number: str = "1") -> Tags:
    with connect() as client:
        return dict(client.get_model_version(name, number).tags)


def pinned_as(tags: Tags, name: str, text: str) -> Tags:
    """Tags of a version that was registered with another file, as its author would pin it."""
    pins, texts = json.loads(tags[artifacts.PINS]), json.loads(tags[model_code.TEXTS])
    pins[f"model/{name}"] = files.digest_of_text(text)
    if name in model_files.CHECKED:
        texts[f"model/{name}"] = text
    return {**tags, artifacts.PINS: json.dumps(pins), model_code.TEXTS: json.dumps(texts)}


def text_of(tags: Tags, name: str) -> str:
    return str(json.loads(tags[model_code.TEXTS])[f"model/{name}"])


def edited(name: str, edit: Callable[[Any], object]) -> Callable[[Tags], Tags]:
    """A change of a version's YAML or JSON file."""

    def change(tags: Tags) -> Tags:
        value = yaml.safe_load(text_of(tags, name))
        edit(value)
        return pinned_as(tags, name, json.dumps(value) if name.endswith(".json") else yaml.safe_dump(value))

    return change


def flavor(**fields: Any) -> Callable[[Tags], Tags]:
    """A change of what MLflow runs."""
    return edited("MLmodel", lambda value: value["flavors"]["python_function"].update(fields))


def replaced(name: str, old: str, new: str) -> Callable[[Tags], Tags]:
    def change(tags: Tags) -> Tags:
        text = text_of(tags, name)
        assert old in text
        return pinned_as(tags, name, text.replace(old, new))

    return change


def without_pin(name: str) -> Callable[[Tags], Tags]:
    def change(tags: Tags) -> Tags:
        pins = json.loads(tags[artifacts.PINS])
        del pins[name]
        return {**tags, artifacts.PINS: json.dumps(pins)}

    return change


EVIL = 'import os\nos.system("id")\n'
CHANGES: dict[str, tuple[Callable[[Tags], Tags], str]] = {
    "loader changed": (lambda tags: pinned_as(tags, "pyfunc_loader.py", EVIL), "is not the loader of any sadcl"),
    "loader removed": (without_pin("model/pyfunc_loader.py"), "lacks the file model/pyfunc_loader.py"),
    "code added": (lambda tags: pinned_as(tags, "code/sadcl/errors.py", EVIL), "has the file 'model/code/sadcl/errors"),
    "pickle added": (lambda tags: pinned_as(tags, "python_model.pkl", "x"), "has the file 'model/python_model.pkl'"),
    "second weights": (lambda tags: pinned_as(tags, "artifacts/weights.onnx", "x"), "has the file .*safetensors"),
    "code folder": (flavor(code="code"), "model/MLmodel of the version says something"),
    "loader module": (flavor(loader_module="mlflow.sklearn"), "model/MLmodel of the version says something"),
    "pickled model": (flavor(python_model="artifacts/weights.safetensors"), "model/MLmodel of the version says"),
    "no code path": (edited("MLmodel", lambda v: v["flavors"]["python_function"].pop("model_code_path")), "MLmodel"),
    "other code path": (flavor(model_code_path="artifacts/weights.safetensors"), "model/MLmodel of the version says"),
    "data path": (flavor(data="artifacts"), "model/MLmodel of the version says something"),
    "settings": (flavor(config={"a": 1}), "model/MLmodel of the version says something"),
    "other artifact": (
        flavor(artifacts={"weights": {"path": "../../secret", "uri": ""}, "code": {"path": "artifacts/code.json"}}),
        "model/MLmodel of the version says something",
    ),
    "text as an artifact": (
        edited("MLmodel", lambda v: v["flavors"]["python_function"]["artifacts"].update(extra="x")),
        "model/MLmodel of the version says something",
    ),
    "endless number": (
        replaced("python_env.yaml", "python: ", f"python: 0x{'f' * 5_000} #"),
        "model/python_env.yaml of the version says",
    ),
    "second flavor": (edited("MLmodel", lambda v: v["flavors"].update(sklearn={})), "model/MLmodel of the version"),
    "external": (edited("MLmodel", lambda v: v.update(metadata={"x": 1})), "model/MLmodel of the version says"),
    "aliases": (lambda tags: pinned_as(tags, "MLmodel", "a: &a [x]\nb: [*a, *a]"), "model/MLmodel of the version"),
    "no yaml": (lambda tags: pinned_as(tags, "MLmodel", "[" * 10_000), "model/MLmodel of the version says"),
    "index": (replaced("requirements.txt", "rich==", "--find-links=evil==x\nrich=="), "model/requirements.txt"),
    "address": (replaced("requirements.txt", "rich==", "evil @ https://evil/rich=="), "model/requirements.txt of"),
    "package": (replaced("requirements.txt", "rich==", "ritch=="), "model/requirements.txt of the version says"),
    "conda package": (replaced("conda.yaml", "rich==", "ritch=="), "model/conda.yaml of the version says"),
    "channel": (replaced("conda.yaml", "conda-forge", "https://evil"), "model/conda.yaml of the version says"),
    "build": (replaced("python_env.yaml", "setuptools", "setuptoolz"), "model/python_env.yaml of the version says"),
    "options": (replaced("python_env.yaml", "requirements.txt", "evil.txt"), "model/python_env.yaml of the version"),
    "code's name": (replaced("artifacts/code.json", "sadcl", "evil"), "model/artifacts/code.json of the version says"),
    "code's version": (edited("artifacts/code.json", lambda v: v.update(version="1; rm -rf /")), "code.json of the"),
    "other text": (
        lambda tags: {**tags, model_code.TEXTS: tags[model_code.TEXTS].replace("rich==", "rich==9")},
        "does not have the file model/conda.yaml that was registered",
    ),
    "no texts": (lambda tags: {**tags, model_code.TEXTS: "[[]"}, "does not have the file model/MLmodel"),
    "long texts": (lambda tags: {**tags, model_code.TEXTS: tags[model_code.TEXTS] + " " * 10**6}, "does not have"),
    "old": (without_pin("model/artifacts/code.json"), "An older sadcl registered this version, with code of its own"),
}


def test_the_loader_is_the_one_whose_digest_is_known() -> None:
    """Whoever edits the loader adds its digest and keeps the others: versions of earlier releases carry theirs."""
    assert files.digest(package.LOADER) in model_code.LOADERS


def test_an_honest_version_is_current(registered: Path) -> None:
    tags = tags_of()
    assert [*model_code.objections(tags)] == []
    assert model_code.is_current(tags)


def test_a_version_with_code_or_settings_of_its_own_is_refused_by_its_tags(registered: Path) -> None:
    honest = tags_of()
    for name, (change, words) in CHANGES.items():
        tags = change(honest)
        first, *_ = model_code.objections(tags)
        assert re.search(words, first), f"{name}: {first}"
        rules = {o.rule for o in eligibility.objections(tags, None, {}, "x")}
        assert eligibility.FOREIGN_CODE in rules, name
        assert not model_code.is_current(tags)


def set_tags(number: str, tags: Tags) -> None:
    with connect() as client:
        for name in (artifacts.PINS, model_code.TEXTS):
            client.set_model_version_tag("tiny", number, name, tags[name])


def test_a_version_with_foreign_code_is_neither_promoted_nor_loaded(registered: Path) -> None:
    set_tags("1", CHANGES["loader changed"][0](tags_of()))
    with pytest.raises(SadclError, match=r"not the loader of any sadcl.*register the model again"):
        promote(1, "blind", first=True)
    with pytest.raises(SadclError, match="not the loader of any sadcl"):
        sadcl.load("models:/tiny/1")


def test_a_version_of_an_older_sadcl_is_registered_again(registered: Path, stages: Stages) -> None:
    promote(1, "the first", first=True)
    for model in ("tiny", "tiny-production"):
        with connect() as client:
            pins = CHANGES["old"][0](tags_of(model))[artifacts.PINS]
            client.set_model_version_tag(model, "1", artifacts.PINS, pins)
    with pytest.raises(SadclError, match=r"An older sadcl registered this version.*register the model again"):
        sadcl.load("models:/tiny-production@champion")
    stages()
    again = publish()
    assert (again.version, again.alias, again.new) == ("2", "challenger", True)
    assert publish().new is False
    # neither the evidence of the champion nor the alias goes before a reviewer has decided
    with connect() as client:
        run = client.get_run(client.get_model_version("tiny", "1").run_id)
        assert run.info.lifecycle_stage == "active"
    sync()
    with connect() as client:
        assert str(client.get_model_version_by_alias("tiny", "challenger").version) == "2"
        versions = lookup.list_versions(client, "tiny", beginning=True)
        snapshot = snapshot_from_mlflow("tiny", versions, client.search_registered_models())
    assert not snapshot.is_champion(snapshot.version("2"))
    promote(2, "the same weights, which can be loaded")
    assert sadcl.load("models:/tiny-production@champion").classes == ("cat", "dog", "kite")


def test_a_version_without_pins_is_not_loaded(registered: Path) -> None:
    with connect() as client:
        client.delete_model_version_tag("tiny", "1", artifacts.PINS)
        client.set_model_version_tag("tiny", "1", model_code.TEXTS, "{}")
    with pytest.raises(SadclError, match="does not name its code"):
        sadcl.load("models:/tiny/1")


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("9.9", "registered with sadcl 9.9, .*Install sadcl 9.9, or register"),
        (None, "Install the one it came from, or"),
    ],
)
def test_a_model_of_other_code_says_what_to_install(registered: Path, version: str | None, words: str) -> None:
    import mlflow

    code = model_code.Code(version or sadcl.__version__, "0" * 64)
    set_tags("1", pinned_as(tags_of(), "artifacts/code.json", code.text()))
    with pytest.raises(SadclError, match=words):
        sadcl.load("models:/tiny/1")
    [path] = (registered / ".sadcl/mlartifacts").rglob("code.json")
    files.write_text(path, code.text())
    with connect() as client:
        uri = client.get_model_version_download_uri("tiny", "1")
    with pytest.raises(SadclError, match=words):
        mlflow.pyfunc.load_model(uri)
    files.write_text(path, "{}")
    with pytest.raises(SadclError, match="does not name its code"):
        mlflow.pyfunc.load_model(uri)
