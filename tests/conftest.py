"""Fixtures that tests of several packages share, and which tests run in which process."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sadcl import processes
from tests.programs import ForkServer

processes.collect_rarely()

CHROMIUM = Path("/usr/bin/chromium")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Run the tests of a folder in one process: they share trained models, registries and servers."""
    from xdist.scheduler import LoadScopeScheduling

    class FolderScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return nodeid.partition("::")[0].rpartition("/")[0]

    return FolderScheduling(config, log)


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Address of a Prefect server with a database of its own; a second one in a process confuses Prefect."""
    from flows import environment

    environment.prepare()  # before Prefect is imported
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield str(PREFECT_API_URL.value())


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """Server that starts Python programs without importing anything again."""
    server = ForkServer(tmp_path_factory.mktemp("programs"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A browser, which takes a moment to start."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}; apt-get install chromium")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        yield browser
        browser.close()
