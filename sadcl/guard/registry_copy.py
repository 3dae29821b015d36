"""Signed copy of the registry: ledger, models and versions of one moment, in a bundle for anybody with an account."""

from flask import Flask, Response
from mlflow.entities.model_registry import RegisteredModel

from sadcl.guard import ledger, mlflow_internals
from sadcl.registry import schema
from sadcl.registry.audit import bundle, hash_chain
from sadcl.registry.audit.log import now
from sadcl.registry.audit.replay import Model, Version
from sadcl.registry.identity import BUNDLE


def add_route(app: Flask) -> None:
    """Add the page that answers with the bundle."""

    @mlflow_internals.answer_errors
    def read() -> Response:
        # Between two changes: a line whose change is not made yet would look like a forged one.
        with ledger.exclusive():
            lines, models = hash_chain.lines(ledger.path()), _models()
            root = ledger.introduce_root_key()
        return Response(bundle.compose(lines, models, root, now()), mimetype="application/jsonl")

    app.add_url_rule(BUNDLE, "sadcl_bundle", read, methods=["GET"])
    mlflow_internals.auth.BEFORE_REQUEST_VALIDATORS[BUNDLE, "GET"] = lambda: True


def _models() -> dict[str, Model]:
    models = mlflow_internals.models()
    return {name: _model(models[name]) for name in schema.audited(models)}


def _model(entity: RegisteredModel) -> Model:
    aliases = {alias: str(number) for alias, number in entity.aliases.items()}
    return Model(aliases, _versions(entity.name), dict(entity.tags))


def _versions(name: str) -> dict[str, Version]:
    return {
        str(entity.version): Version(entity.user_id or "", entity.source or "", dict(entity.tags))
        for entity in mlflow_internals.versions(name)
    }
