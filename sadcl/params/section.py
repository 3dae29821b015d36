"""Base class of the sections of ``params.yaml``."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A group of settings: immutable, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")
