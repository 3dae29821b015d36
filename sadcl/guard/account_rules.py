"""Rules on accounts, rights and webhooks: MLflow lets only administrators change them, the ledger gets each change.

Passwords never enter the ledger.
"""

from collections.abc import Mapping
from typing import Any

from flask import request

from sadcl.guard.ledger import Entry

RECORDED = (
    "username", "is_admin", "role_id", "role_permission_id", "name", "resource_type", "resource_id", "resource_pattern",
    "permission", "webhook_id",
)  # fmt: skip
"""Fields of a request that the ledger gets: named one by one, so that no new field brings a secret."""
RECORDED_PASSWORD = ("username",)
"""Fields of a changed password: everybody may send this request, so it can't fill the ledger with others."""
MAX_CHARACTERS = 300
"""Characters of a field in the ledger."""
PASSWORD = "password changed"

CHANGES = {
    # MLflow's client posts to one route and its sign-up page to the other.
    ("/mlflow/users/create", "POST"): "account made",
    ("/mlflow/users/create-ui", "POST"): "account made",
    ("/mlflow/users/update-password", "PATCH"): PASSWORD,
    ("/mlflow/users/update-admin", "PATCH"): "administrator changed",
    ("/mlflow/users/delete", "DELETE"): "account deleted",
    ("/mlflow/users/permissions/grant", "POST"): "right given",
    ("/mlflow/users/permissions/revoke", "POST"): "right taken",
    ("/mlflow/roles/create", "POST"): "role made",
    ("/mlflow/roles/update", "PATCH"): "role changed",
    ("/mlflow/roles/delete", "DELETE"): "role deleted",
    ("/mlflow/roles/permissions/add", "POST"): "right given to a role",
    ("/mlflow/roles/permissions/remove", "DELETE"): "right taken from a role",
    ("/mlflow/roles/permissions/update", "PATCH"): "right of a role changed",
    ("/mlflow/roles/assign", "POST"): "role given",
    ("/mlflow/roles/unassign", "DELETE"): "role taken",
    # Webhooks send what happens in the registry to other servers.
    ("/mlflow/webhooks", "POST"): "webhook made",
    ("/mlflow/webhooks/<webhook_id>", "PATCH"): "webhook changed",
    ("/mlflow/webhooks/<webhook_id>", "DELETE"): "webhook deleted",
}


def _recorder(action: str) -> Any:
    def rule(**path: Any) -> Entry:
        # MLflow parses JSON whatever the header says, and its pages send forms.
        body = request.get_json(force=True, silent=True) or request.form
        fields = {**(body if isinstance(body, Mapping) else {}), **path}
        recorded = RECORDED_PASSWORD if action == PASSWORD else RECORDED
        # Cut, so that one request can't fill the disk.
        return {"what": action, **{name: str(fields[name])[:MAX_CHARACTERS] for name in recorded if name in fields}}

    return rule


RULES = {route: _recorder(action) for route, action in CHANGES.items()}
