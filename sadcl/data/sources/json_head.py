"""The beginning of a JSON file as a value, to recognise its format without reading the whole file.

Exports of labelling tools reach hundreds of megabytes. Only the first megabyte is parsed: what it leaves open is
closed, so that lists and objects are shorter than in the file but have the same structure. A damaged file is treated
the same way up to the damage; its reader then reports it.
"""

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

LONGEST = 1_000_000
"""Bytes of the beginning."""
_DEEPEST = 100
_TRIES = 3
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|"|[\[\]{},]', re.DOTALL)


def read_head(path: Path) -> Any:
    """Value of the beginning of a JSON file; None if the file can't be read or begins with no list or object."""
    try:
        state = path.stat()
        return _head(path, state.st_size, state.st_mtime_ns)
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=4)
def _head(path: Path, *_state: int) -> Any:
    """Value of the beginning; every format in turn asks for it, and the file's state tells whether it changed."""
    with open(path, "rb") as file:
        text = file.read(LONGEST).decode("utf-8-sig", "ignore")
    for _ in range(_TRIES):
        try:
            return json.loads(_closed(text), parse_int=_short)
        except json.JSONDecodeError as error:
            text = text[: error.pos]
        except (ValueError, RecursionError):
            return None
    return None


def first_object(value: Any) -> dict[str, Any]:
    """The first item of a list or of an object's values, if that is an object; else an empty one."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    first = next(iter(items), None)
    return first if isinstance(first, dict) else {}


def _closed(text: str) -> str:
    """Text up to the last complete value, with brackets for the lists and objects that are still open."""
    closers: list[str] = []
    end, open_then = 0, ""
    for token in _TOKEN.finditer(text):
        mark = token[0]
        if mark == '"' or len(closers) > _DEEPEST:  # a string without an end
            break
        if mark in "[{":
            closers.append("]" if mark == "[" else "}")
            end = token.end()
        elif mark in "]}":
            if not closers or closers.pop() != mark:
                break
            end = token.end()
        elif mark == ",":
            end = token.start()
        else:
            continue
        open_then = "".join(reversed(closers))
        if not closers:
            break
    return text[:end] + open_then


def _short(digits: str) -> int:
    return int(digits[:20])
