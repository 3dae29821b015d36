"""A tiny DVC project under git, and one Prefect server for all tests here."""

from collections.abc import Iterator

import pytest

from flows import environment
from tests.project.conftest import project, save, template  # noqa: F401 - fixtures

environment.prepare()  # before Prefect is imported


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A Prefect server with a database of its own; its address."""
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield str(PREFECT_API_URL.value())
