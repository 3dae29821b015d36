"""State of the registry as the lines of its ledger say it, and the differences to a state that somebody shows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sadcl.registry import schema
from sadcl.registry.audit import hash_chain

Entry = dict[str, Any]
MODEL_CREATED, MODEL_DELETED, MODEL_RENAMED = "model made", "model deleted", "model renamed"
MODEL_TAG_SET, MODEL_TAG_DELETED = "model tagged", "model untagged"
VERSION_CREATED, VERSION_DELETED = "version made", "version deleted"
TAG_SET, TAG_DELETED = "tag set", "tag deleted"
ALIAS_SET, ALIAS_DELETED = "alias set", "alias deleted"
TAGS = "tags"
"""Field of the line of a created model or version: all its tags, long values as digests."""
MAX_CHARACTERS = 2000
"""Characters of a tag that the ledger holds; for a longer one it holds the digest."""


@dataclass
class Version:
    """A version.

    Attributes:
        author: account that created it; empty where it is unknown.
        source: address of its files, or of the version that it copies.
        tags: values by key; in a replayed ledger long ones are digests.
        complete: whether ``tags`` has every tag; lines from before signatures lack those of the registration.
    """

    author: str
    source: str
    tags: dict[str, str]
    complete: bool = True


@dataclass
class Model:
    """A registered model.

    Attributes:
        aliases: version numbers by alias.
        versions: by number.
        tags: values by key, as those of a version.
        complete: whether ``tags`` has every tag; older lines lack those that the model was created with.
    """

    aliases: dict[str, str] = field(default_factory=dict)
    versions: dict[str, Version] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    complete: bool = False


@dataclass(frozen=True)
class Comparison:
    """Result of a comparison.

    Attributes:
        problems: a sentence for each difference.
        uncovered: models and versions that no line of the ledger created, or not with all their tags: they are older
            than that.
    """

    problems: list[str]
    uncovered: list[str]


def shortened(value: str | None) -> str | None:
    """Value of a tag as the ledger holds it."""
    # a digest still shows whether a value is the one that was written
    return value if value is None or len(value) <= MAX_CHARACTERS else hash_chain.digest(value)


def replay(entries: Iterable[Entry]) -> dict[str, Model]:
    """Models by name after the changes of a ledger; its entries without those whose change failed."""
    models: dict[str, Model] = {}
    for entry in entries:
        action = _ACTIONS.get(entry["what"])
        if action is not None:
            action(models, {key: value for key, value in entry.items() if value is not None})
    return models


def compare(recorded: Mapping[str, Model], shown: Mapping[str, Model]) -> Comparison:
    """Compare the state that a ledger recorded with a shown one."""
    missing = [name for name in schema.audited(recorded) if name not in shown]
    problems = [f"The model {name} is missing, and no line of the ledger deletes it." for name in missing]
    uncovered: list[str] = []
    for name, model in shown.items():
        known = recorded.get(name, Model())
        problems += [*_alias_problems(name, known, model), *_model_tag_problems(name, known, model)]
        if _unknown_tags(known, model):
            uncovered.append(f"models:/{name}")
        for number in sorted({*known.versions, *model.versions}, key=lambda number: (len(number), number)):
            uri, expected, actual = f"models:/{name}/{number}", known.versions.get(number), model.versions.get(number)
            if actual is None:
                problems.append(f"{uri} is missing, and no line of the ledger deletes it.")
            elif expected is None and (actual.author or known.complete):  # a complete model has no older versions
                problems.append(f"No line of the ledger creates {uri}.")
            elif expected is None or not expected.complete:
                uncovered.append(uri)
            if expected is not None and actual is not None:
                problems += _version_problems(uri, expected, actual)
    return Comparison(problems, uncovered)


def uncovered_note(uncovered: Sequence[str]) -> list[str]:
    """A sentence about models and versions that are checked in part only; none without such."""
    if not uncovered:
        return []
    more = f" and {len(uncovered) - 5:,} more" if len(uncovered) > 5 else ""
    return [f"Registered before the ledger held all tags, so checked in part only: {', '.join(uncovered[:5])}{more}."]


def _alias_problems(name: str, recorded: Model, shown: Model) -> Iterator[str]:
    for alias in sorted({*recorded.aliases, *shown.aliases}):
        expected, actual = recorded.aliases.get(alias), shown.aliases.get(alias)
        # a version from before the ledger may have got its alias then, too
        older = (
            not recorded.complete and expected is None and actual in shown.versions and actual not in recorded.versions
        )
        if expected != actual and not older:
            yield (
                f"The alias {alias} of {name} is on {_version(actual)}, but on {_version(expected)} in the ledger: "
                "it was moved without the ledger."
            )


def _version_problems(uri: str, recorded: Version, shown: Version) -> Iterator[str]:
    if recorded.author != shown.author:
        yield f"The author of {uri} is {shown.author or 'nobody'}, but {recorded.author} in the ledger."
    if recorded.source != shown.source:
        yield f"The source of {uri} is {shown.source}, but {recorded.source} in the ledger."
    unknown = set() if recorded.complete else shown.tags.keys() - recorded.tags.keys()
    yield from _tag_problems(uri, recorded.tags, {key: shown.tags[key] for key in shown.tags.keys() - unknown})


def _model_tag_problems(name: str, recorded: Model, shown: Model) -> Iterator[str]:
    unknown = _unknown_tags(recorded, shown)
    yield from _tag_problems(name, recorded.tags, {key: shown.tags[key] for key in shown.tags.keys() - unknown})


def _unknown_tags(recorded: Model, shown: Model) -> set[str]:
    """Tags that a model may have been created with; never those of this project, which are set afterwards."""
    if recorded.complete:
        return set()
    return {key for key in shown.tags.keys() - recorded.tags.keys() if not key.startswith(schema.OURS)}


def _tag_problems(subject: str, recorded: Mapping[str, str], shown: Mapping[str, str]) -> Iterator[str]:
    for key in sorted({*recorded, *shown}):
        if key not in recorded:
            yield f"No line of the ledger sets the tag {key} of {subject}."
        elif key not in shown:
            yield f"The tag {key} of {subject} is missing, and no line of the ledger deletes it."
        elif recorded[key] != shortened(shown[key]):
            yield f"The tag {key} of {subject} is not the one that the ledger has: it was changed without the ledger."


def _version(number: str | None) -> str:
    return "no version" if number is None else f"version {number}"


def _number(entry: Entry) -> str:
    # older servers recorded a number as the request spelled it: 01, +1
    text = str(entry.get("version"))
    number = text.strip().removeprefix("+")
    return number.lstrip("0") if number.isdecimal() else text


def _model(models: dict[str, Model], entry: Entry) -> Model:
    return models.setdefault(str(entry.get("model")), Model())


def _create_model(models: dict[str, Model], entry: Entry) -> None:
    model, tags = _model(models, entry), entry.get(TAGS)
    if isinstance(tags, dict):
        model.tags, model.complete = dict(tags), True


def _set_model_tag(models: dict[str, Model], entry: Entry) -> None:
    # version 0.1 wrote the value under another name
    _model(models, entry).tags[str(entry.get("key"))] = str(entry.get("to", entry.get("value", "")))


def _delete_model_tag(models: dict[str, Model], entry: Entry) -> None:
    _model(models, entry).tags.pop(str(entry.get("key")), None)


def _create_version(models: dict[str, Model], entry: Entry) -> None:
    tags = entry.get(TAGS)
    known = tags if isinstance(tags, dict) else {}
    version = Version(str(entry.get("who")), str(entry.get("source")), dict(known), complete=isinstance(tags, dict))
    _model(models, entry).versions[_number(entry)] = version


def _delete_version(models: dict[str, Model], entry: Entry) -> None:
    model, number = _model(models, entry), _number(entry)
    model.versions.pop(number, None)
    model.aliases = {alias: version for alias, version in model.aliases.items() if version != number}


def _set_tag(models: dict[str, Model], entry: Entry) -> None:
    version = _model(models, entry).versions.get(_number(entry))
    if version is not None:
        version.tags[str(entry.get("key"))] = str(entry.get("to", ""))


def _delete_tag(models: dict[str, Model], entry: Entry) -> None:
    version = _model(models, entry).versions.get(_number(entry))
    if version is not None:
        version.tags.pop(str(entry.get("key")), None)


def _set_alias(models: dict[str, Model], entry: Entry) -> None:
    _model(models, entry).aliases[str(entry.get("alias"))] = str(entry.get("to"))


def _delete_alias(models: dict[str, Model], entry: Entry) -> None:
    _model(models, entry).aliases.pop(str(entry.get("alias")), None)


def _delete_model(models: dict[str, Model], entry: Entry) -> None:
    models.pop(str(entry.get("model")), None)


def _rename_model(models: dict[str, Model], entry: Entry) -> None:
    models[str(entry.get("to"))] = models.pop(str(entry.get("from")), Model())


_ACTIONS = {
    MODEL_CREATED: _create_model,
    MODEL_TAG_SET: _set_model_tag,
    MODEL_TAG_DELETED: _delete_model_tag,
    MODEL_DELETED: _delete_model,
    MODEL_RENAMED: _rename_model,
    VERSION_CREATED: _create_version,
    VERSION_DELETED: _delete_version,
    TAG_SET: _set_tag,
    TAG_DELETED: _delete_tag,
    ALIAS_SET: _set_alias,
    ALIAS_DELETED: _delete_alias,
}
