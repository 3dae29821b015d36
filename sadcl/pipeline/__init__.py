"""The DVC door: which stages there are, which are stale, and how to run them.

Its commands are ``dvc`` as a person would type it. Only where that can't answer is DVC's ``Repo`` class touched, which
promises no stability: in ``order._index``, ``project.links`` and ``project.share_cache``.
"""

from sadcl.pipeline.config import links, require_project, set_up, share_cache
from sadcl.pipeline.dvc import StageError, add, checkout, collect_garbage, pull, push, reproduce
from sadcl.pipeline.scaffold import STARTER, start
from sadcl.pipeline.stages import Stage, changed_sources, lock_digest, missing, stages, stale

__all__ = [
    "STARTER",
    "Stage",
    "StageError",
    "add",
    "changed_sources",
    "checkout",
    "collect_garbage",
    "links",
    "lock_digest",
    "missing",
    "pull",
    "push",
    "reproduce",
    "require_project",
    "set_up",
    "share_cache",
    "stages",
    "stale",
    "start",
]
