"""Permissions for requests that are finer than MLflow's own.

MLflow demands MANAGE for each, which would also allow to delete every model.
"""

from collections.abc import Callable

from mlflow.protos.model_registry_pb2 import DeleteRegisteredModelAlias, SetModelVersionTag
from mlflow.protos.service_pb2 import DeleteRun

from sadcl.guard import mlflow_internals
from sadcl.registry import schema

Validator = Callable[[], bool]


def extend_validators() -> None:
    """Add our validators to MLflow's: a request passes if either allows it."""
    extensions = {
        ("/mlflow/registered-models/alias", "DELETE"): _may_end_challenge,
        ("/mlflow/model-versions/set-tag", "POST"): _may_write_tag,
        ("/mlflow/runs/delete", "POST"): _may_delete_run,
    }
    validators = mlflow_internals.auth.BEFORE_REQUEST_VALIDATORS
    for (path, method), validator in list(validators.items()):
        for (suffix, extended_method), extension in extensions.items():
            # By the end of the path: each route exists below /api, /ajax-api and a prefix of the server.
            if path.endswith(suffix) and method == extended_method:
                validators[path, method] = _either(validator, extension)


def may_decide(name: str) -> bool:
    """Whether the present account may decide on versions of the model ``name``."""
    return mlflow_internals.is_administrator() or mlflow_internals.may_write(schema.production(name))


def may_verify(name: str) -> bool:
    """Whether the present account may write verifications of versions of the model ``name``."""
    # Administrators may write everything; to verify they first give an account the role, which the ledger records.
    may_write = mlflow_internals.may_write_experiment(schema.verification(name))
    return may_write and not mlflow_internals.is_administrator()


def _either(first: Validator, second: Validator) -> Validator:
    return lambda: first() or second()


def _may_end_challenge() -> bool:
    """Whether the account may delete ``challenger``: trainers of a version that failed, reviewers who reject it."""
    request = mlflow_internals.parse_request(DeleteRegisteredModelAlias)
    ends_challenge = request.alias == schema.CHALLENGER and not schema.protected(request.name)
    return ends_challenge and (mlflow_internals.may_write(request.name) or may_decide(request.name))


def _may_write_tag() -> bool:
    """Whether the account may write this tag of a candidate, which it may only read otherwise.

    Reviewers write decisions, the verifier writes its record; all other tags stay the author's.
    """
    request = mlflow_internals.parse_request(SetModelVersionTag)
    if schema.protected(request.name):
        return False
    rights = {schema.DECISION: may_decide, schema.VERIFIED: may_verify}
    return request.key in rights and rights[request.key](request.name)


def _may_delete_run() -> bool:
    """Whether the account may delete a run: trainers, of a run that was killed before its version was registered."""
    run_id = mlflow_internals.parse_request(DeleteRun).run_id
    return mlflow_internals.auth.validate_can_update_run() and not mlflow_internals.is_registered(run_id)
