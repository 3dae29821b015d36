"""A tiny project for the benchmarks' own code, as the trainings' tests have it."""

from tests.training.conftest import project, template

__all__ = ["project", "template"]
