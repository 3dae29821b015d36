"""Access to DVC: the stages of a project, which of them are stale, and how to run them.

Most functions run the command ``dvc``. DVC's class ``Repo``, whose interface may change with any release, is used only
where no command has the answer, or takes twice as long: in ``stages``, ``config.links`` and ``config.share_cache``.
"""

from sadcl.pipeline.config import links, require_graph, require_project, set_up, share_cache
from sadcl.pipeline.dvc import StageError, add, checkout, collect_garbage, is_modified, pull, push, reproduce, untrack
from sadcl.pipeline.repository import uncommitted
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
    "is_modified",
    "links",
    "lock_digest",
    "missing",
    "pull",
    "push",
    "reproduce",
    "require_graph",
    "require_project",
    "set_up",
    "share_cache",
    "stages",
    "stale",
    "start",
    "uncommitted",
    "untrack",
]
