"""Commands for a team: its servers (``up``, ``down``) and accounts (``user ...``)."""

import os
import sys
from typing import Annotated, Literal

import typer

from sadcl.errors import SadclError
from sadcl.progress import hint, say

PANEL = "Team"
app = typer.Typer()
user = typer.Typer(help="Manage the accounts of a team's registry.", no_args_is_help=True)


@app.command(rich_help_panel=PANEL)
def up(
    port: Annotated[
        int, typer.Option(min=1, max=65532, help="Port of the registry; the other servers take the next ones.")
    ] = 5000,
) -> None:
    """Run a team's servers on this machine until Ctrl-C."""
    from sadcl import pipeline, services

    pipeline.require_project()
    services.up(port)


@app.command(rich_help_panel=PANEL)
def down() -> None:
    """Stop a team's servers."""
    from sadcl import services

    say(services.down())


@user.command("add")
def user_add(
    name: Annotated[str, typer.Argument(help="Login name.", metavar="NAME")],
    role: Annotated[
        Literal["trainer", "reviewer", "reader"],
        typer.Option(help="trainer: registers models; reviewer: decides on them; reader: read-only."),
    ],
) -> None:
    """Create an account; reads the password from a prompt or from SADCL_USER_PASSWORD."""
    from sadcl.accounts import users

    password = os.environ.get("SADCL_USER_PASSWORD")
    if not password and not sys.stdin.isatty():
        raise SadclError("There is no terminal to ask for a password", fix="Set SADCL_USER_PASSWORD")
    account = users.add_account(
        name, role, password or typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    )
    say(f"Created the account {account.name} with the role {account.role}.")
    hint("Export MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD to use this account.")


@user.command("delete")
def user_delete(name: Annotated[str, typer.Argument(help="Login name.", metavar="NAME")]) -> None:
    """Delete an account; on the server's host also while the servers are down."""
    from contextlib import ExitStack

    from sadcl import services
    from sadcl.accounts import users

    with ExitStack() as stack:
        if services.is_down():
            stack.enter_context(services.registry_alone())
        users.delete_account(name)
    say(f"Deleted the account {name}.")


@user.command("list")
def user_list() -> None:
    """List all accounts and their roles."""
    from sadcl.accounts import users

    for account in users.list_accounts():
        typer.echo(f"{account.role:14} {account.name}")


@user.command("prefect")
def user_prefect() -> None:
    """Print the login of the Prefect server, for its dashboard and for PREFECT_API_AUTH_STRING."""
    from sadcl.accounts import host

    typer.echo(host.prefect_login())
