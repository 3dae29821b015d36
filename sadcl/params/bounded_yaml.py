"""YAML of settings, read with bounds: a registered version brings its own, written by somebody else."""

from typing import Any

import yaml

LONGEST = 200_000
"""Characters of settings; the longest recipe has 7,000, and the parser is slow."""
MOST_VALUES = 20_000
"""Values of settings, where an alias counts as much as what it stands for: a few lines may stand for millions."""
MOST_NESTED = 50
"""Levels of settings; the parser's time grows with their square."""
LARGEST_NUMBER = 2**63
"""Largest whole number; Python can't print one of many thousand digits, and says so with an exception."""


class TooLargeError(ValueError):
    """The settings, or a number in them, exceed a bound."""


def parse(text: str) -> Any:
    """Parse YAML.

    Raises:
        TooLargeError: it exceeds a bound; nothing was built from it.
        YAMLError, ValueError, TypeError, AttributeError, RecursionError: it is not YAML.
    """
    if len(text) > LONGEST:
        raise TooLargeError(f"more than {LONGEST:,} characters")
    loader = _BoundedLoader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


class NestingLoader(yaml.SafeLoader):
    """Loader that refuses more than ``MOST_NESTED`` levels."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.depth == MOST_NESTED:
            raise TooLargeError(f"more than {MOST_NESTED} levels")
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _BoundedLoader(NestingLoader):
    """Checks the graph of nodes before any value is built from it: merges of aliases grow while they are built."""

    def get_single_node(self) -> Any:
        node = super().get_single_node()
        _size(node, {})
        return node

    def construct_yaml_int(self, node: Any) -> int:
        value = super().construct_yaml_int(node)
        if abs(value) > LARGEST_NUMBER:
            raise TooLargeError("a number above 2^63")
        return value


_BoundedLoader.add_constructor("tag:yaml.org,2002:int", _BoundedLoader.construct_yaml_int)


def _size(node: Any, known: dict[int, int]) -> int:
    """Number of values that a node stands for; raise above ``MOST_VALUES``, and where it contains itself."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in known:
        known[id(node)] = MOST_VALUES  # until it is counted: a node inside itself is too large
        parts = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in node.value for part in pair]
        known[id(node)] = 1 + sum(_size(part, known) for part in parts)
    if known[id(node)] > MOST_VALUES:
        raise TooLargeError(f"more than {MOST_VALUES:,} values")
    return known[id(node)]
