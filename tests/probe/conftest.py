"""A tiny project on real scenes, as the tests of training have it."""

from tests.training.conftest import made as made
from tests.training.conftest import project as project
