"""Code of a registered model: always the installed package's own.

A version carries the name and digest of its code, and one fixed loader that MLflow runs. Nothing else in it may be run:
whoever registers a version chooses its files and pins them, so equal digests alone prove nothing.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import sadcl
from sadcl import files
from sadcl.errors import SadclError
from sadcl.registry import artifacts, lookup, model_files

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

TEXTS = "sadcl.model_files"
"""Tag of a version: JSON, content of ``model_files.CHECKED`` by name; their digests are among the pins."""
CODE = f"{artifacts.MODEL}/{model_files.CODE}"
LOADER = f"{artifacts.MODEL}/{model_files.LOADER}"
LOADERS = frozenset({"baf3224852e0e15c4623a86e7badf54fe0a98216db0729daf846d807a6be3239"})
"""SHA-256 of the loaders of all releases."""
DECIDING = ("data/images", "model", "weights")
"""Packages whose code decides what a model predicts for a photo."""
OTHERS = ("input_example.json", "serving_input_example.json")
"""Files of a model that nothing runs or reads for a prediction."""

REGISTER_AGAIN = "Ask the person who registered it to register the model again with `sadcl register`"


class ForeignCodeError(SadclError):
    """A version names other code than the installed one, or has code of its own."""


@dataclass(frozen=True)
class Code:
    """Name of the code that computes a model.

    Attributes:
        version: of the package sadcl.
        digest: of its code in ``DECIDING``.
    """

    version: str
    digest: str

    def text(self) -> str:
        """Content of the file that a registered model carries."""
        return files.json_text({"package": "sadcl", "version": self.version, "digest": self.digest})


@cache
def installed() -> Code:
    """The code that is installed here."""
    return Code(sadcl.__version__, files.digest_of_code(*DECIDING))


def texts(folder: Path) -> str:
    """Value of the tag ``TEXTS`` for the model in a folder."""
    contents = {f"{artifacts.MODEL}/{name}": (folder / name).read_bytes().decode() for name in model_files.CHECKED}
    return json.dumps(contents, sort_keys=True, ensure_ascii=False)


def objections(tags: Mapping[str, str]) -> Iterator[str]:
    """Why the code of a version is not the package's own, as sentences without a full stop; by its tags alone.

    Args:
        tags: of the version. Without pins there is no objection, since no file of such a version is ever used.
    """
    pinned = artifacts.read_pins(tags)
    if pinned is None:
        return
    if CODE not in pinned:
        yield "An older sadcl registered this version, with code of its own inside"
        return
    names = {name for name in pinned if name.startswith(f"{artifacts.MODEL}/")}
    served = {artifacts.served(pinned)}
    needed = {LOADER, *(f"{artifacts.MODEL}/{name}" for name in model_files.CHECKED), *served}
    for name in sorted(names - needed - {f"{artifacts.MODEL}/{name}" for name in OTHERS}):
        yield f"The version has the file {name[:100]!r}, which sadcl does not write"
    for name in sorted(needed - names):
        yield f"The version lacks the file {name}"
    if LOADER in pinned and pinned[LOADER] not in LOADERS:
        yield f"The file {LOADER} of the version is not the loader of any sadcl"
    yield from _texts_objections(pinned, tags.get(TEXTS, ""))


def _texts_objections(pinned: Mapping[str, str], tag: str) -> Iterator[str]:
    """Objections to the files of a model that say what MLflow runs and installs."""
    contents = model_files.read_texts(tag)
    for name in model_files.CHECKED:
        path = f"{artifacts.MODEL}/{name}"
        text = contents.get(path, "")
        if path in pinned and files.digest_of_text(text) != pinned[path]:
            yield f"The tag {TEXTS} does not have the file {path} that was registered"
        elif path in pinned and not model_files.is_own(name, text, Path(artifacts.served(pinned)).name):
            yield f"The file {path} of the version says something that sadcl does not write"


def same(tags: Mapping[str, str], others: Mapping[str, str]) -> bool:
    """Whether two versions name the same code; versions without pins name none."""
    first, second = ((artifacts.read_pins(each) or {}).get(CODE) for each in (tags, others))
    return first == second


def is_current(tags: Mapping[str, str]) -> bool:
    """Whether a version can be used with the code that is installed here."""
    pinned = artifacts.read_pins(tags) or {}
    return not [*objections(tags)] and pinned.get(CODE) == files.digest_of_text(installed().text())


def require_installed(version: "ModelVersion") -> None:
    """Require that the code of a version is the one that is installed here.

    Raises:
        ForeignCodeError: it has no code, foreign code, or code of another sadcl; the message says what to install.
    """
    where = lookup.model_uri(version)
    for objection in objections(version.tags):
        raise ForeignCodeError(objection, where=where, fix=REGISTER_AGAIN)
    if artifacts.read_pins(version.tags) is None:  # there is no objection, since no file of the version is used
        raise ForeignCodeError("The version does not name its code", where=where, fix=REGISTER_AGAIN)
    _require(model_files.read_texts(version.tags[TEXTS])[CODE], where)


def require_named(path: Path) -> None:
    """Require that the code that a model's file names is the one that is installed here.

    Raises:
        SadclError: it is code of another sadcl, or the file names none; the message says what to install.
    """
    text = path.read_bytes()[: model_files.LARGEST].decode(errors="replace")
    if not model_files.is_own(model_files.CODE, text, ""):
        raise SadclError("The model does not name its code", where=path, fix=REGISTER_AGAIN)
    _require(text, path)


def _require(text: str, where: object) -> None:
    value, own = json.loads(text), installed()
    named = Code(value["version"], value["digest"])
    if named != own:
        install = f"Install sadcl {named.version}" if named.version != own.version else "Install the one it came from"
        raise ForeignCodeError(
            f"The model was registered with sadcl {named.version}, whose code for predictions (digest "
            f"{named.digest[:12]}) differs from that of the installed sadcl {own.version} ({own.digest[:12]})",
            where=where,
            fix=f"{install}, or register the model again with `dvc repro` and `sadcl register`",
        )
