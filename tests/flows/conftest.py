"""A tiny DVC project under git; the Prefect server is that of all tests."""

from flows import environment
from tests.project.conftest import project, save, template  # noqa: F401 - fixtures

environment.prepare()  # before Prefect is imported
