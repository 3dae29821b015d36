"""A tiny project for the benchmarks' own code, as the trainings' tests have it."""

from tests.training.conftest import made, project

__all__ = ["made", "project"]
