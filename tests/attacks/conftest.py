"""Attacks of a trainer on a project whose version 1 is champion; real photos, networks and registry."""

from tests.verification.conftest import project, project_states, promoted, states  # noqa: F401 - fixtures
