"""Log-in of Optuna's dashboard: accounts, roles, throttling."""

from collections.abc import Callable
from typing import Any

import pytest
from werkzeug.test import Client
from werkzeug.wrappers import Response

from sadcl.accounts.throttle import FREE
from sadcl.accounts.users import Account
from sadcl.errors import SadclError
from sadcl.services.browser_protection import WsgiProtection
from sadcl.services.optuna_login import CACHE_SECONDS, LoginGate

ROLES = {"rea": "reader", "tom": "trainer", "rita": "reviewer", "admin": "administrator"}
REA, TOM = ("rea", "password of rea"), ("tom", "password of tom")


class Registry:
    """People by name, a clock, and how often anybody was looked up."""

    def __init__(self) -> None:
        self.checks, self.now, self.away = 0, 1000.0, False

    def check(self, name: str, password: str) -> Account | None:
        self.checks += 1
        if self.away:
            raise SadclError("The registry can't be reached")
        return Account(name, ROLES[name]) if name in ROLES and password == f"password of {name}" else None


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def ask(registry: Registry) -> Callable[..., int]:
    """The status of an answer of the door, behind which everything is well."""
    browser = Client(WsgiProtection(LoginGate(Response("studies"), registry.check, lambda: registry.now)))

    def status(method: str = "GET", auth: Any = None, host: str = "127.0.0.1:5002", **headers: str) -> int:
        return browser.open("/api/studies", f"http://{host}", method=method, auth=auth, headers=headers).status_code

    return status


def test_people_of_the_registry_come_in_and_nobody_else(ask: Callable[..., int]) -> None:
    assert (ask(), ask(auth=REA), ask(auth=("rea", "a guess")), ask(auth=("nobody", "password of nobody"))) == (
        401, 200, 401, 401,
    )  # fmt: skip
    assert ask(Authorization="Bearer rea") == 401
    assert ask(Authorization="Basic ?") == 401


@pytest.mark.parametrize("auth", [("", "password of "), ("rea", ""), ("", ""), ("rea", "a\0b")])
def test_what_no_environment_can_hold_is_never_asked(
    ask: Callable[..., int], registry: Registry, auth: tuple[str, str]
) -> None:
    assert (ask(auth=auth), registry.checks) == (401, 0)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_readers_look_and_others_change(ask: Callable[..., int], method: str) -> None:
    assert (ask("HEAD", REA), ask(method, REA)) == (200, 403)
    assert {ask(method, (name, f"password of {name}")) for name in ("tom", "rita", "admin")} == {200}


def test_a_page_from_elsewhere_changes_nothing(ask: Callable[..., int]) -> None:
    assert ask("POST", TOM, Origin="http://127.0.0.1:5002") == 200
    for origin in ("http://127.0.0.1:5003", "http://evil.example", "null", "http://["):
        assert ask("POST", TOM, Origin=origin) == 403
    assert ask("GET", TOM, host="localhost:6002") == 200
    for host in ("evil.example:5002", "127.0.0.1.evil.example", "10.evil.example"):
        assert ask("GET", TOM, host=host) == 400


def test_no_page_of_another_site_frames_the_dashboard() -> None:
    for app in (Response("studies"), LoginGate(Response("studies"), lambda name, password: None)):
        answer = Client(WsgiProtection(app)).open("/", "http://127.0.0.1")
        assert answer.headers.getlist("X-Frame-Options") == ["DENY"]
        assert answer.headers["Content-Security-Policy"] == "frame-ancestors 'none'"


def test_a_log_in_is_asked_for_once_a_minute(ask: Callable[..., int], registry: Registry) -> None:
    assert [ask(auth=REA) for _ in range(10)] == [200] * 10
    assert registry.checks == 1
    assert (ask(auth=("rea", "password of tom")), registry.checks) == (401, 2)
    registry.now += CACHE_SECONDS
    assert (ask(auth=REA), registry.checks) == (200, 3)


def test_who_guesses_waits_and_who_is_known_does_not(ask: Callable[..., int], registry: Registry) -> None:
    assert ask(auth=TOM) == 200
    assert [ask(auth=("tom", f"guess {i}")) for i in range(FREE["name"] + 1)] == [401] * FREE["name"] + [429]
    assert registry.checks == FREE["name"] + 1
    assert ask(auth=TOM) == 200


def test_a_registry_that_is_away_is_nobodys_failure(ask: Callable[..., int], registry: Registry) -> None:
    registry.away = True
    assert {ask(auth=TOM) for _ in range(2 * FREE["name"])} == {503}
    registry.away = False
    assert ask(auth=TOM) == 200
