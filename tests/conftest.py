"""Fixtures that tests of several packages share: one Prefect server a session, since a second confuses Prefect."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """Address of a Prefect server with a database of its own."""
    from flows import environment

    environment.prepare()  # before Prefect is imported
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield str(PREFECT_API_URL.value())
