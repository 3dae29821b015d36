"""Fixtures that tests of several packages share: one Prefect server a session, since a second confuses Prefect."""

from collections.abc import Iterator

import pytest

from tests.programs import ForkServer


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Address of a Prefect server with a database of its own."""
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
