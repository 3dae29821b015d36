"""Accounts and rights: only the administrator changes them, and each change is noted. Passwords never are."""

from collections.abc import Mapping
from typing import Any

from flask import request

from sadcl.guard.ledger import Entry

SHOWN = (
    "username", "is_admin", "role_id", "role_permission_id", "name", "resource_type", "resource_id", "resource_pattern",
    "permission",
)  # fmt: skip
"""What of a request is noted."""
OWN = ("username",)
"""The same, where everybody may ask."""
LONGEST = 300
"""Characters of each."""
PASSWORD = "password changed"

CHANGES = {
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
}


def _noted(what: str) -> Any:
    def rule(**_: Any) -> Entry:
        sent = request.get_json(force=True, silent=True) or request.form
        told = sent if isinstance(sent, Mapping) else {}
        shown = OWN if what == PASSWORD else SHOWN
        return {"what": what, **{name: str(told[name])[:LONGEST] for name in shown if name in told}}

    return rule


RULES = {route: _noted(what) for route, what in CHANGES.items()}
