"""Requests share reads of the registry: few run, and none is older than the request that gets it."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from sadcl.review.shared_reads import MAX_KEYS, SharedReads


class Registry:
    """Counts its reads; the value of a read is its number."""

    def __init__(self) -> None:
        self.count, self.started, self.may_end = 0, threading.Event(), threading.Event()

    def read(self) -> int:
        self.count += 1
        return self.count

    def slow_read(self) -> int:
        number = self.read()
        self.started.set()
        self.may_end.wait()
        return number


def test_requests_that_arrive_during_a_read_share_the_next_one() -> None:
    reads, registry = SharedReads[int](), Registry()
    with ThreadPoolExecutor(21) as threads:
        first = threads.submit(reads.get, "key", reads.arrival(), registry.slow_read)
        registry.started.wait()
        others = [threads.submit(reads.get, "key", reads.arrival(), registry.read) for _ in range(20)]
        registry.may_end.set()
        assert first.result() == 1
        assert {other.result() for other in others} == {2}
    assert registry.count == 2


def test_a_request_gets_no_value_that_was_read_before_it_arrived() -> None:
    reads, registry = SharedReads[int](), Registry()
    before = reads.arrival()
    assert reads.get("key", before, registry.read) == 1
    assert reads.get("key", before, registry.read) == 1
    assert reads.get("key", reads.arrival(), registry.read) == 2


def test_values_of_other_keys_are_not_shared() -> None:
    reads, registry, before = SharedReads[int](), Registry(), 0
    assert [reads.get(key, before, registry.read) for key in ("trainer", "reader")] == [1, 2]


def test_a_failed_read_is_shared_with_nobody() -> None:
    reads, registry = SharedReads[int](), Registry()
    before = reads.arrival()

    def refuse() -> int:
        raise PermissionError

    with pytest.raises(PermissionError):
        reads.get("key", before, refuse)
    assert reads.get("key", before, registry.read) == 1
    with pytest.raises(PermissionError):
        reads.get("key", reads.arrival(), refuse)


def test_memory_is_bounded() -> None:
    reads, registry = SharedReads[int](), Registry()
    before = reads.arrival()
    for key in range(MAX_KEYS + 1):
        reads.get(key, before, registry.read)
    read_again: Callable[[], int] = registry.read
    assert reads.get(MAX_KEYS, before, read_again) == MAX_KEYS + 1
    assert reads.get(0, before, read_again) == MAX_KEYS + 2
