"""Three acts that MLflow's rights have no word for, allowed to those whose work they are.

MLflow wants MANAGE for each, with which one may also delete everything.
"""

from collections.abc import Callable

from mlflow.protos.model_registry_pb2 import DeleteRegisteredModelAlias, SetModelVersionTag
from mlflow.protos.service_pb2 import DeleteRun

from sadcl.registry import names
from sadcl.registry.guard import inside

Validator = Callable[[], bool]


def widen() -> None:
    """Put our answer beside MLflow's: either one is enough."""
    ours = {
        ("/mlflow/registered-models/alias", "DELETE"): _ends_a_challenge,
        ("/mlflow/model-versions/set-tag", "POST"): _decides,
        ("/mlflow/runs/delete", "POST"): _drops_a_run_of_no_version,
    }
    validators = inside.auth.BEFORE_REQUEST_VALIDATORS
    for (path, method), theirs in list(validators.items()):
        for (end, wanted), also in ours.items():
            if path.endswith(end) and method == wanted:
                validators[path, method] = _either(theirs, also)


def may_decide(name: str) -> bool:
    """Whether who is logged in may write in the production of ``name``."""
    return inside.is_administrator() or inside.may_write(names.production(name))


def _either(theirs: Validator, ours: Validator) -> Validator:
    return lambda: theirs() or ours()


def _ends_a_challenge() -> bool:
    """Trainers take back what did not pass, reviewers reject."""
    asked = inside.asked(DeleteRegisteredModelAlias)
    ours = asked.alias == names.CHALLENGER and not names.protected(asked.name)
    return ours and (inside.may_write(asked.name) or may_decide(asked.name))


def _decides() -> bool:
    """Reviewers, who only read the candidates, write their decision on them."""
    asked = inside.asked(SetModelVersionTag)
    return asked.key == names.DECISION and not names.protected(asked.name) and may_decide(asked.name)


def _drops_a_run_of_no_version() -> bool:
    """Trainers drop what was killed before it was registered."""
    return inside.auth.validate_can_update_run() and not inside.is_registered(inside.asked(DeleteRun).run_id)
