"""Prefect's server for loopback: ``uvicorn --factory sadcl.services.prefect_app:create_app``."""

from fastapi import FastAPI
from starlette.middleware.trustedhost import TrustedHostMiddleware

from sadcl.registry.client import LOOPBACK
from sadcl.services.browser_protection import AsgiHeaders


def create_app() -> FastAPI:
    """Prefect's app, which answers to names of loopback alone and is in no other page's frame."""
    from prefect.server.api import server

    app: FastAPI = server.create_app(final=True)
    app.add_middleware(AsgiHeaders)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK), www_redirect=False)
    return app
