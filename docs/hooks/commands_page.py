"""The page of commands, from the typer application."""

from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import typer
from markup import code, sentence, table

DEFAULT_PANEL = "Commands"
WIDTH = 76
INTRO = """# Commands

Every command answers `--help`. Exit status 0 means success. 2 means that a person can fix the problem; the message says
how. 1 means that a check has findings: `doctor`, `audit`, `criteria`, `verdict --check`, or photos without a prediction
in `predict --out`. 130 means that Ctrl-C ended the command. Anything else is a bug and shows a traceback.

This page is generated from the command line itself.
"""


def page(app: typer.Typer) -> str:
    """Markdown of all commands, grouped by the panels of ``--help``."""
    root = typer.main.get_command(app)
    panels: dict[str, list[tuple[str, Any]]] = {}
    for name, command in root.commands.items():  # type: ignore[attr-defined]
        if not command.hidden:
            panels.setdefault(_panel(command), []).append((name, command))
    parts = [INTRO]
    for panel, commands in panels.items():
        parts.append(f"## {panel}\n")
        for name, command in commands:
            parts += _sections(f"sadcl {name}", command)
    return "\n".join(parts)


def _panel(command: Any) -> str:
    panel = command.rich_help_panel
    return panel if isinstance(panel, str) else DEFAULT_PANEL


def _sections(name: str, command: Any) -> Iterator[str]:
    children = getattr(command, "commands", None)
    if children is not None:
        for child, inner in children.items():
            yield from _sections(f"{name} {child}", inner)
        return
    parameters = [one for one in command.params if not one.hidden and one.name != "help"]
    yield f"### {name} {{ #{name.replace(' ', '-')} }}\n"
    yield sentence(command.help or "") + "\n"
    yield f"```\n{_wrapped([name, *map(_usage, parameters)])}\n```\n"
    if parameters:
        rows = [(code(_name(one)), sentence(one.help or ""), _type(one), _default(one)) for one in parameters]
        yield table(("", "meaning", "type", "default"), rows)


def _wrapped(words: list[str]) -> str:
    """The words on lines of at most ``WIDTH`` characters, continued lines indented."""
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + len(word) < WIDTH:
            lines[-1] += f" {word}"
        else:
            lines.append(f"    {word}")
    return " \\\n".join(lines)


def _is_option(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "option")


def _name(parameter: Any) -> str:
    if not _is_option(parameter):
        return str(parameter.metavar or parameter.name.upper())
    return ", ".join(parameter.opts)


def _usage(parameter: Any) -> str:
    if not _is_option(parameter):
        return _name(parameter) + (" ..." if parameter.nargs == -1 else "")
    text = parameter.opts[0] if parameter.is_flag else f"{parameter.opts[0]} {parameter.name.upper()}"
    return text if parameter.required else f"[{text}]"


def _type(parameter: Any) -> str:
    if _is_option(parameter) and parameter.is_flag:
        return "flag"
    annotation = parameter.type_descriptor.annotation
    if get_origin(annotation) is Literal:
        return ", ".join(code(value) for value in get_args(annotation))
    if get_origin(annotation) is list:
        return f"{_plain(get_args(annotation)[0])}, repeatable"
    low, high = (getattr(parameter, name) for name in ("min", "max"))
    bounds = f", {low} to {high}" if None not in (low, high) else f", at least {low}" if low is not None else ""
    return _plain(annotation) + bounds


def _plain(annotation: Any) -> str:
    names = {"str": "text", "int": "integer", "float": "number", "Path": "path"}
    return names.get(annotation.__name__, annotation.__name__)


def _default(parameter: Any) -> str:
    if parameter.required:
        return "required"
    empty = parameter.default in (None, "") or parameter.default is False
    return "" if empty else code(parameter.default)
