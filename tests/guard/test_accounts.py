"""Accounts of the guarded registry: who creates and deletes them, and their roles."""

import json

import pytest

from sadcl.accounts import host, users
from sadcl.accounts.users import Account
from sadcl.errors import SadclError
from sadcl.registry import identity
from tests.guard.conftest import ADMIN, NOBODY, REA, RITA, ROB, TOM, Team, password
from tests.guard.decision_requests import REFUSED

pytestmark = pytest.mark.slow


def test_the_server_knows_each_person(new_team: Team) -> None:
    for name, role in ((TOM, "trainer"), (RITA, "reviewer"), (REA, "reader")):
        assert users.check_login(name, password(name)) == Account(name, role)
    assert users.check_login(NOBODY, password(NOBODY)) is None
    assert users.check_login(RITA, password(ROB)) is None
    with new_team.acting(TOM):
        assert identity.decider() == TOM


def test_accounts_are_the_administrators(new_team: Team) -> None:
    assert {person.name for person in users.list_accounts(new_team.home)} == {
        ADMIN,
        host.WORKER,
        host.VERIFIER,
        TOM,
        RITA,
        ROB,
        REA,
    }
    for words, role, secret in (("no role 'boss'", "boss", "x" * 12), ("at least 12", "reader", "short")):
        with pytest.raises(SadclError, match=words):
            users.add_account("ann", role, secret, new_team.home)
    for name in ("a:b", " ann", "an\nn", "", "a" * 201, "the server"):
        with pytest.raises(SadclError, match=r"Nobody could log in|server's own account"):
            users.add_account(name, "reader", "x" * 12, new_team.home)
    with pytest.raises(SadclError, match="an account rita already"):
        users.add_account(RITA, "reader", "x" * 12, new_team.home)
    for name in (TOM, RITA, REA):
        with new_team.acting(name), pytest.raises(SadclError, match=REFUSED):
            users.add_account("ann", "reviewer", "x" * 12)
    with new_team.acting(NOBODY), pytest.raises(SadclError, match="does not know you"):
        users.list_accounts()
    text = json.dumps(new_team.ledger())
    assert f'"username": "{RITA}"' in text
    assert not any(new_team.secret(name) in text for name in (ADMIN, TOM, RITA, ROB, REA))


def test_a_deleted_account_logs_in_no_longer(new_team: Team) -> None:
    users.add_account("ann", "reviewer", "x" * 12, new_team.home)
    with new_team.acting(TOM), pytest.raises(SadclError, match=REFUSED):
        users.delete_account("ann")
    users.delete_account("ann", new_team.home)
    assert users.check_login("ann", "x" * 12) is None
    assert [line["who"] for line in new_team.ledger() if line["what"] == "account deleted"][-1:] == [ADMIN]
    for name, words in (("ann", "no account ann"), (ADMIN, "is the administrator's")):
        with pytest.raises(SadclError, match=words):
            users.delete_account(name, new_team.home)


def test_an_account_that_up_did_not_create_gets_no_role(new_team: Team) -> None:
    """Such an account is that of another person who came before the verifier: it has no role."""
    from mlflow.server.auth.client import AuthServiceClient

    accounts = AuthServiceClient(new_team.address)
    with new_team.acting(ADMIN):
        role = next(role.id for role in accounts.list_roles("default") if role.name == host.VERIFIER)
        accounts.unassign_role(host.VERIFIER, role)
        accounts.update_user_password(host.VERIFIER, "of somebody else")
    try:
        with pytest.raises(SadclError, match=r"account verifier was not created by `sadcl up`.*another name"):
            host.set_up(new_team.address, new_team.home)
        with new_team.acting(ADMIN):
            assert accounts.list_user_roles(host.VERIFIER) == []
    finally:
        with new_team.acting(ADMIN):
            accounts.update_user_password(host.VERIFIER, new_team.secret(host.VERIFIER))
        host.set_up(new_team.address, new_team.home)
    with new_team.acting(ADMIN):
        assert [entity.name for entity in accounts.list_user_roles(host.VERIFIER)] == [host.VERIFIER]


def test_a_person_with_the_verifier_s_name_does_not_get_its_role(new_team: Team) -> None:
    from mlflow.server.auth.client import AuthServiceClient

    accounts = AuthServiceClient(new_team.address)
    with new_team.acting(ADMIN):
        roles = {role.name: role.id for role in accounts.list_roles("default")}
        accounts.unassign_role(host.VERIFIER, roles[host.VERIFIER])
        accounts.assign_role(host.VERIFIER, roles["reader"])
    try:
        with pytest.raises(SadclError, match=r"account verifier has another role.*another name"):
            host.set_up(new_team.address, new_team.home)
    finally:
        with new_team.acting(ADMIN):
            accounts.unassign_role(host.VERIFIER, roles["reader"])
        host.set_up(new_team.address, new_team.home)
