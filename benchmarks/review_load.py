"""``python -m benchmarks.review_load``: the review page under load, on real servers that it starts and ends.

Each round sends one request of every client at the same moment. The plain side beside it is what each request would
cost without sharing: the same clients, each reading versions and models from the registry with a log-in of its own.
Prints medians of the rounds, writes a JSON file, and ends with status 1 where a bound does not hold.
"""

import asyncio
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks import review_team
from benchmarks.review_team import Team
from sadcl import files
from sadcl.review.routes.versions import REFRESH_SECONDS
from sadcl.review.sessions import CHECK_INTERVAL
from sadcl.services.dashboards import end_on_signals

RESULT = Path("benchmarks/results/review_load.json")
ACCOUNTS, SESSIONS, VERSIONS, PHOTOS = 40, 200, 12, 40_137
"""Accounts, sessions of them, registered versions, and test images of champion and challenger with 80 classes."""
TIMEOUT = httpx.Timeout(120)
VERSIONS_PATH = "/api/2.0/mlflow/model-versions/search"
MODELS_PATH = "/api/2.0/mlflow/registered-models/search"


@dataclass(frozen=True)
class Result:
    """A line of the table: seconds (or MB) with their bound; the plain side where there is one."""

    name: str
    unit: str
    ours: float
    plain: float | None = None
    at_most: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the bound holds."""
        return self.at_most is None or self.ours <= self.at_most


@dataclass(frozen=True)
class Client:
    """A browser with a session."""

    name: str
    cookie: str


def main() -> int:
    """Measure every row; return the exit status."""
    end_on_signals()
    readers = [f"reader{number}" for number in range(ACCOUNTS)]
    results = []
    with (
        tempfile.TemporaryDirectory() as folder,
        review_team.running_team(Path(folder), readers, VERSIONS, PHOTOS) as team,
    ):
        clients = [_log_in(team, readers[number % ACCOUNTS]) for number in range(SESSIONS)]
        print(f"{'':60}{'ours':>10}{'plain':>10}{'':4}{'at most':>10}")
        for result in _measure(team, clients):
            results.append(result)
            plain = "-" if result.plain is None else f"{result.plain:.2f}"
            bound = "" if result.at_most is None else f"{result.at_most:10g}" + ("" if result.holds else "  short")
            print(f"{result.name:60}{result.ours:10.2f}{plain:>10} {result.unit:3}{bound}", flush=True)
    files.write_json(RESULT, [{**asdict(result), "holds": result.holds} for result in results])
    short = [result.name for result in results if not result.holds]
    print(f"The figures are in {RESULT}." + (f" Short: {'; '.join(short)}." if short else ""))
    return 1 if short else 0


def _measure(team: Team, clients: Sequence[Client]) -> Iterator[Result]:
    """Every row of the table, in this order: the first ones run while the comparison is computed."""
    version, process = f"/versions/{VERSIONS}", psutil.Process(team.page_process)
    pages = _burst(team, version, clients[:20])
    assert all("is being computed" in page.text for _, page in pages), "the comparison was there before"
    yield Result("page of a version, 20 clients, nothing downloaded before", "s", _median(pages))
    yield Result("list page, 20 clients, a comparison runs", "s", _median(_burst(team, "/", clients[:20])))
    yield Result("comparison of 40,137 x 80, from the first view to the page", "s", _wait_for_comparison(team, clients))
    yield Result("page of a version, 1 client", "s", _median(_burst(team, version, clients[20:21])), at_most=1)
    yield Result("page of a version, 20 clients", "s", _median(_burst(team, version, clients[:20])))
    for number, rounds in ((1, 5), (20, 5), (SESSIONS, 3)):
        ours, slowest, plain = [], [], []
        for _ in range(rounds):
            time.sleep(CHECK_INTERVAL)  # no session is fresh: each log-in is checked again
            pages = _burst(team, "/", clients[:number])
            ours.append(_median(pages))
            slowest.append(max(seconds for seconds, _ in pages))
            plain.append(statistics.median(asyncio.run(_read_registry(team, clients[:number]))))
        many = number == SESSIONS
        bound = None if many else 1.0
        yield Result(f"list page, {number} clients", "s", statistics.median(ours), statistics.median(plain), bound)
        if many:
            yield Result(f"list page, the slowest of {number} clients", "s", statistics.median(slowest), at_most=10)
    yield Result("memory of the page's process", "MB", process.memory_info().rss / 1e6, at_most=1000)


def _median(pages: Sequence[tuple[float, httpx.Response]]) -> float:
    return statistics.median(seconds for seconds, _ in pages)


def _log_in(team: Team, name: str) -> Client:
    with httpx.Client(base_url=team.page, timeout=TIMEOUT) as browser:
        hidden = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', browser.get("/login").text)
        fields = {**dict(hidden), "name": name, "password": review_team.password(name), "next": "/history"}
        assert browser.post("/login", data=fields).status_code == 303, name
        return Client(name, "; ".join(f"{key}={value}" for key, value in browser.cookies.items()))


def _burst(team: Team, path: str, clients: Sequence[Client]) -> list[tuple[float, httpx.Response]]:
    """Request a page as all clients at the same moment; seconds and response of each."""
    pages = asyncio.run(_get_pages(team, path, clients))
    for client, (_, page) in zip(clients, pages, strict=True):
        assert page.status_code == 200, page.text
        assert f"{client.name}, reader" in page.text, f"{client.name} got the page of another person"
    return pages


async def _get_pages(team: Team, path: str, clients: Sequence[Client]) -> list[tuple[float, httpx.Response]]:
    async with _http(team.page) as http:
        pages = await asyncio.gather(*(_timed(http.get(path, headers={"cookie": c.cookie})) for c in clients))
    return list(pages)


async def _read_registry(team: Team, clients: Sequence[Client]) -> list[float]:
    """Seconds in which each client reads versions and models itself."""

    async def read(http: httpx.AsyncClient, name: str) -> None:
        query: dict[str, str | int] = {"filter": f"name LIKE '{review_team.NAME}%'", "max_results": 200}
        for path in (VERSIONS_PATH, MODELS_PATH):
            response = await http.get(path, params=query, auth=(name, review_team.password(name)))
            assert response.status_code == 200, response.text

    async with _http(team.registry) as http:
        timed = await asyncio.gather(*(_timed(read(http, client.name)) for client in clients))
    return [seconds for seconds, _ in timed]


def _http(address: str) -> httpx.AsyncClient:
    # a connection for each request, as from different machines
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(base_url=address, timeout=TIMEOUT, limits=limits)


async def _timed(call: Coroutine[Any, Any, Any]) -> tuple[float, Any]:
    started = time.perf_counter()
    value = await call
    return time.perf_counter() - started, value


def _wait_for_comparison(team: Team, clients: Sequence[Client]) -> float:
    """Reload the page as its browser does until the comparison is there; seconds."""
    started = time.perf_counter()
    while True:
        page = _burst(team, f"/versions/{VERSIONS}", clients[:1])[0][1]
        if page.headers.get("refresh") is None:
            assert "Precision and recall: champion" in page.text, page.text
            return time.perf_counter() - started
        time.sleep(REFRESH_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
