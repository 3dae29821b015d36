"""Three acts that MLflow's rights have no word for, allowed to those whose work they are.

MLflow wants MANAGE for each, with which one may also delete everything.
"""

from collections.abc import Callable

from mlflow.protos.model_registry_pb2 import DeleteRegisteredModelAlias, SetModelVersionTag
from mlflow.protos.service_pb2 import DeleteRun

from sadcl.guard import mlflow_internals
from sadcl.registry import schema

Validator = Callable[[], bool]


def widen() -> None:
    """Put our answer beside MLflow's: either one is enough."""
    ours = {
        ("/mlflow/registered-models/alias", "DELETE"): _ends_a_challenge,
        ("/mlflow/model-versions/set-tag", "POST"): _decides,
        ("/mlflow/runs/delete", "POST"): _drops_a_run_of_no_version,
    }
    validators = mlflow_internals.auth.BEFORE_REQUEST_VALIDATORS
    for (path, method), theirs in list(validators.items()):
        for (end, wanted), also in ours.items():
            if path.endswith(end) and method == wanted:
                validators[path, method] = _either(theirs, also)


def may_decide(name: str) -> bool:
    """Whether who is logged in may write in the production of ``name``."""
    return mlflow_internals.is_administrator() or mlflow_internals.may_write(schema.production(name))


def _either(theirs: Validator, ours: Validator) -> Validator:
    return lambda: theirs() or ours()


def _ends_a_challenge() -> bool:
    """Trainers take back what did not pass, reviewers reject."""
    asked = mlflow_internals.asked(DeleteRegisteredModelAlias)
    ours = asked.alias == schema.CHALLENGER and not schema.protected(asked.name)
    return ours and (mlflow_internals.may_write(asked.name) or may_decide(asked.name))


def _decides() -> bool:
    """Reviewers, who only read the candidates, write their decision on them."""
    asked = mlflow_internals.asked(SetModelVersionTag)
    return asked.key == schema.DECISION and not schema.protected(asked.name) and may_decide(asked.name)


def _drops_a_run_of_no_version() -> bool:
    """Trainers drop what was killed before it was registered."""
    return mlflow_internals.auth.validate_can_update_run() and not mlflow_internals.is_registered(
        mlflow_internals.asked(DeleteRun).run_id
    )
