"""Many people at once: few reads of the registry, each comparison once, and nobody gets another person's page."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sadcl.errors import SadclError
from sadcl.evaluation import scores
from sadcl.review import compare_worker, side_by_side
from sadcl.review.background import ERROR_SECONDS, BackgroundValues, InProgressError
from sadcl.review.cache import Cache
from sadcl.review.sessions import CHECK_INTERVAL, Sessions
from tests.review.conftest import Browser, Clock, Person, StaticAuthenticator, text

Compare = Callable[[Path, Path | None, float], dict[str, Any]]


class Crowd(StaticAuthenticator):
    """Confirms log-ins when as many requests as there are people have arrived."""

    def __init__(self, size: int) -> None:
        self.barrier = threading.Barrier(size, timeout=60)

    def check(self, name: str, password: str) -> Person | None:
        self.barrier.wait()
        return super().check(name, password)


class SlowComparison:
    """Counts comparisons; each waits until it may end."""

    def __init__(self, compare: Compare) -> None:
        self.compare, self.count, self.may_end = compare, 0, threading.Event()

    def __call__(self, version: Path, champion: Path | None, threshold: float) -> dict[str, Any]:
        self.count += 1
        self.may_end.wait()
        return self.compare(version, champion, threshold)


@pytest.fixture
def comparison(monkeypatch: pytest.MonkeyPatch, promoted: Path) -> SlowComparison:
    """The comparison of few photos counts as one of many, and was never computed before."""
    for path in (promoted / ".sadcl/review/values").glob("*.json"):
        path.unlink()
    slow = SlowComparison(compare_worker.compare_files)
    monkeypatch.setattr("sadcl.review.version_page.MAX_IMMEDIATE", 1)
    monkeypatch.setattr("sadcl.review.version_page.compare_files", slow)
    return slow


def test_people_who_come_at_once_cause_one_read_and_get_their_own_pages(page: Any, clock: Clock) -> None:
    names = [*StaticAuthenticator.people] * 5
    browsers = [Browser(page) for _ in names]
    for browser, name in zip(browsers, names, strict=True):
        assert browser.log_in(name, to="/login").status_code == 200
    context = page.state.context
    context.authenticator, before = Crowd(len(names)), context.registry.arrival()
    clock.now += CHECK_INTERVAL
    with ThreadPoolExecutor(len(names)) as threads:
        pages = list(threads.map(lambda browser: text(browser.get("/").text), browsers))
    assert context.registry.arrival() - before == 1
    for name, shown in zip(names, pages, strict=True):
        assert f"{name}, {StaticAuthenticator.people[name]} Log out" in shown
        assert "Challenger Version 3" in shown
        assert [other for other in set(names) - {name} if f"{other}, " in shown] == []


def test_people_with_other_rights_do_not_share_a_read(page: Any, clock: Clock) -> None:
    registry, sessions = page.state.context.registry, Sessions(clock)
    before = registry.arrival()
    for name, rights in (("rita", "a"), ("ron", "a"), ("rea", "b")):
        session = sessions.get(sessions.begin(name, "reviewer", "a long password", rights))
        registry.snapshot(session, before)
    assert registry.arrival() - before == 2


def test_a_long_comparison_is_computed_once_while_pages_say_so(
    rita: Browser, page: Any, comparison: SlowComparison
) -> None:
    browsers = [rita]
    for name in ("ron", "rea", "tom"):
        browsers.append(Browser(page))
        browsers[-1].log_in(name, to="/login")
    with ThreadPoolExecutor(len(browsers)) as threads:
        responses = list(threads.map(lambda browser: browser.get("/versions/3"), browsers * 3))
    for response in responses:
        assert "The comparison of 20 photos is being computed." in text(response.text)
        assert "mAP" in text(response.text)
        assert int(response.headers["refresh"]) > 0
        assert "<script" not in response.text
    # a reload would empty the form
    assert 'name="reason"' not in responses[0].text
    assert "You can decide here when the comparison is there." in text(responses[0].text)
    comparison.may_end.set()
    response = rita.get("/versions/3")
    while "refresh" in response.headers:
        response = rita.get("/versions/3")
    assert "This version is better" in response.text
    assert 'name="reason"' in response.text
    assert comparison.count == 1


def test_the_list_does_not_wait_for_a_comparison(rita: Browser, comparison: SlowComparison) -> None:
    for _ in range(3):
        assert "Challenger Version 3" in text(rita.get("/").text)
    assert comparison.count <= 1
    comparison.may_end.set()


def test_a_refused_decision_is_not_reloaded_while_a_comparison_runs(rita: Browser, comparison: SlowComparison) -> None:
    response = rita.send("/", "/versions/3", action="approve", reason=" ")
    assert (response.status_code, "refresh" in response.headers) == (400, False)
    assert 'name="reason"' in response.text
    comparison.may_end.set()


def test_a_failed_computation_is_shown_to_who_started_it_and_tried_again_later(tmp_path: Path, clock: Clock) -> None:
    values, attempts = BackgroundValues(Cache(tmp_path), clock), []

    def fail() -> Any:
        attempts.append("failed")
        raise SadclError("The scores are damaged")

    def outcome(person: str, compute: Callable[[], Any]) -> Any:
        while True:
            try:
                return values.get("key", person, compute, "comparison")
            except InProgressError:
                continue
            except SadclError as error:
                return str(error)

    assert outcome("rita", fail) == "The scores are damaged."
    assert outcome("rita", fail) == "The scores are damaged."
    assert len(attempts) == 1
    assert outcome("ron", lambda: {"value": 1}) == {"value": 1}
    assert outcome("rita", fail) == {"value": 1}
    assert outcome("rita", fail) == {"value": 1}
    assert len(attempts) == 1


def test_a_computation_starts_again_some_seconds_after_its_error(tmp_path: Path, clock: Clock) -> None:
    values, results = BackgroundValues(Cache(tmp_path), clock), iter([SadclError("The registry is away"), 5])

    def compute() -> Any:
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    seen = set[Any]()
    while 5 not in seen:
        try:
            seen.add(values.get("key", "rita", compute, "comparison"))
        except InProgressError:
            continue
        except SadclError as error:
            seen.add(str(error))
            clock.now += ERROR_SECONDS
    assert seen == {"The registry is away.", 5}


@pytest.fixture
def large_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Two scores files whose images count as many."""
    monkeypatch.setattr(compare_worker, "MAX_IMMEDIATE", 1)
    paths, targets = [tmp_path / "version.parquet", tmp_path / "champion.parquet"], np.eye(6, 3, dtype=bool)
    for seed, path in enumerate(paths):
        logits = {"sadcl": np.random.default_rng(seed).normal(size=(6, 3)).astype(np.float32)}
        ids = [f"photo {i}" for i in range(6)]
        written = scores.Scores(ids, ["c" * 64] * 6, ("a", "b", "c"), targets, targets & False, logits=logits)
        scores.write_scores(path, written)
    return paths


def test_a_child_process_computes_the_same_comparison(large_scores: list[Path]) -> None:
    assert compare_worker.compare_files(*large_scores, 0.5) == side_by_side.compare(*large_scores, 0.5)
    assert compare_worker.compare_files(large_scores[0], None, 0.5) == side_by_side.compare(large_scores[0], None, 0.5)


def test_a_child_process_reports_damaged_scores_as_a_sentence(large_scores: list[Path]) -> None:
    content = large_scores[1].read_bytes()
    large_scores[1].write_bytes(content[:4] + b"\0" * 200 + content[204:])
    with pytest.raises(SadclError, match=r"The scores are damaged"):
        compare_worker.compare_files(*large_scores, 0.5)


def test_a_missing_file_is_downloaded_once_for_all_who_wait(tmp_path: Path) -> None:
    cache, downloads, may_end = Cache(tmp_path), list[Path](), threading.Event()

    def download(folder: Path) -> Path:
        downloads.append(folder)
        may_end.wait()
        (folder / "file").write_text("content")
        return folder / "file"

    with ThreadPoolExecutor(8) as threads:
        paths = [threads.submit(cache.file_by_key, "key", "file", download) for _ in range(8)]
        # another entry waits for none of them
        assert cache.value("other", lambda: 1) == 1
        may_end.set()
        assert {path.result().read_text() for path in paths} == {"content"}
    assert len(downloads) == 1
