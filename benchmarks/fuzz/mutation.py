"""Mutations of exports: odd values, changes of the structure, damaged bytes."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

DEEP, HUGE = "@deep@", "@huge@"
"""Placeholders for lists nested 10,000 deep, and for a number of 5,000 digits."""
NAMES = (
    "a.jpg", "A.jpg", "b/c.jpg", "b/C.JPG", "./a.jpg", "é.jpg", "e\u0301.jpg", "😀.jpg", "new\nline.jpg", "tab\t.jpg",
    'quo"te.jpg', "it's.jpg", "com,ma.jpg", "semi;colon.jpg", "x" * 251 + ".jpg", "x" * 252 + ".jpg", "y" * 5000,
    "../a.jpg", "b/../../a.jpg", "/a.jpg", "C:\\a.jpg", "b\\c.jpg", "", " ", ".", "..", "b/", "nul\0.jpg",
    "\ud800.jpg", "a.jpg ", " a.jpg", "CON.jpg", "-rf.jpg", "%2e%2e/a.jpg", "~/a.jpg", "$HOME.jpg", "\u202egpj.a",
)  # fmt: skip
"""File names, most of them valid on some file system."""
LABELS = (
    "cat",
    "Cat",
    "dog",
    " dog ",
    "a;b",
    "",
    " ",
    "0",
    "1",
    "-1",
    "é",
    "😀",
    "new\nline",
    "\ud800",
    "nan",
    "x" * 9999,
)
VALUES = (
    None, True, False, 0, 1, -1, 2, 1.5, -0.0, float("nan"), float("inf"), 1e308, 2**31, 2**63, 2**64, HUGE, DEEP,
    "", "0", "1", "1.0", "١", "true", "train", "\ud800", "\0", [], [[]], {}, {"": None}, [1, "1", None], "x" * 70_000,
)  # fmt: skip


def pick(rng: Random, usual: tuple[Any, ...], odd: tuple[Any, ...] = VALUES, chance: float = 0.02) -> Any:
    """Choose a usual value, or with ``chance`` an odd one."""
    return rng.choice(odd if rng.random() < chance else usual)


def structure(rng: Random, value: Any, times: int) -> Any:
    """Change a JSON value: swap, drop, double or wrap values, rename keys."""
    for _ in range(times):
        places = list(_places(value))
        if not places:
            return rng.choice(VALUES)
        holder, key = rng.choice(places)
        _change(rng, holder, key)
    return value


def text(rng: Random, value: Any) -> bytes:
    """Encode a JSON value, NaN and lone surrogates included."""
    written = json.dumps(value, ensure_ascii=rng.random() < 0.5)
    written = written.replace(f'"{DEEP}"', "[" * 10_000 + "]" * 10_000).replace(f'"{HUGE}"', "7" * 5_000)
    return written.encode("utf-8", "surrogatepass")


def damaged(rng: Random, data: bytes) -> bytes:
    """Damage bytes: cut, flip, double, insert, or encode otherwise."""
    position = rng.randrange(len(data) + 1)
    ways: list[Callable[[], bytes]] = [
        lambda: data[:position],
        lambda: data[:position] + bytes([rng.randrange(256)]) + data[position + 1 :],
        lambda: (
            data[:position]
            + rng.choice((b"\0", b"\xff", b"\xed\xa0\x80", b"\r", b'"', b"\n\n", b"\xef\xbb\xbf"))
            + data[position:]
        ),
        lambda: data + data,
        lambda: data[position:] + data[:position],
        lambda: b"",
        lambda: b"\xef\xbb\xbf" + data,
        lambda: data.decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-32", "utf-7", "latin-1")), "replace"),
        lambda: data[:position] + b"A" * 200_000 + data[position:],
        lambda: rng.randbytes(rng.randrange(200)),
    ]
    return rng.choice(ways)()


def _places(value: Any) -> Any:
    """Iterate over every item of every list and object in a value."""
    waiting = [value]
    while waiting:
        holder = waiting.pop()
        keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
        for key in keys:
            yield holder, key
            waiting.append(holder[key])


def _change(rng: Random, holder: Any, key: Any) -> None:
    way, old = rng.randrange(7), holder[key]
    if way == 0:
        del holder[key]
    elif way == 1:
        holder[key] = [old]
    elif way == 2:
        holder[key] = str(old) if not isinstance(old, str) else len(old)
    elif way == 3 and isinstance(holder, list):
        holder.append(old)
    elif way == 4 and isinstance(holder, dict):
        holder[rng.choice((f"{key}s", str(key).upper(), "", "id", "file", "labels", "split"))] = holder.pop(key)
    elif way == 5:
        holder[key] = rng.choice(NAMES)
    else:
        holder[key] = json.loads(json.dumps(rng.choice(VALUES)))
