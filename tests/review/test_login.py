"""Log-in, sessions, throttling, forms and security headers."""

import re
from pathlib import Path
from typing import Any

import pytest

from sadcl.errors import SadclError
from sadcl.registry import client
from sadcl.review.app import create_app
from sadcl.review.forms import FORM_LIFETIME
from sadcl.review.security_headers import POLICY
from sadcl.review.sessions import CHECK_INTERVAL
from tests.paths import REPOSITORY
from tests.review.conftest import PASSWORD, Browser, Clock, Person, StaticAuthenticator


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with an empty registry, since these tests don't read it."""
    root = tmp_path_factory.mktemp("empty")
    recipe = REPOSITORY / "recipes/demo.yaml"
    (root / "params.yaml").write_text(recipe.read_text(encoding="utf-8"))
    return root


@pytest.fixture
def page(empty: Path, clock: Clock) -> Any:
    return create_app(empty, authenticator=StaticAuthenticator(), clock=clock)


@pytest.fixture
def browser(page: Any) -> Browser:
    return Browser(page)


def test_log_in_returns_to_the_requested_page(browser: Browser) -> None:
    form = browser.get("/history?x=1")
    assert form.url.path == "/login"
    to = re.search(r'name="next" value="([^"]+)"', form.text)
    assert to is not None
    response = browser.log_in("rea", to=to[1])
    assert (response.status_code, str(response.url)) == (200, "http://127.0.0.1:8000/history?x=1")
    assert "rea, reader" in response.text


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:1", "/a\nb"])
def test_log_in_does_not_redirect_to_other_sites(browser: Browser, to: str) -> None:
    assert str(browser.log_in(to=to).url) == "http://127.0.0.1:8000/"


@pytest.mark.parametrize(("name", "password"), [("rita", "wrong"), ("nobody", PASSWORD), ("", "")])
def test_wrong_name_and_wrong_password_get_the_same_response(browser: Browser, name: str, password: str) -> None:
    response = browser.log_in(name, password)
    assert response.status_code == 401
    assert "Wrong name or password." in response.text
    assert browser.get("/").url.path == "/login"


def test_five_failures_throttle_one_name(browser: Browser, page: Any, clock: Clock) -> None:
    for _ in range(5):
        assert browser.log_in("rita", "wrong").status_code == 401
    refused = browser.log_in(" RITA", PASSWORD)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "15")
    assert "Too many attempts. Wait 15 s" in refused.text
    assert Browser(page).log_in("ron").status_code == 200
    clock.now += 15
    assert browser.log_in("rita").status_code == 200


def test_throttle_doubles_with_each_failure_and_resets_after_a_pause(browser: Browser, clock: Clock) -> None:
    for _ in range(5):
        browser.log_in("rita", "wrong")
    for wait in (15, 30, 60, 120, 240, 300, 300):
        refused = browser.log_in("rita", "wrong")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, str(wait))
        clock.now += wait
        assert browser.log_in("rita", "wrong").status_code == 401
    clock.now += 15 * 60
    assert browser.log_in("rita").status_code == 200


def test_address_that_tries_many_names_is_throttled(page: Any) -> None:
    attacker = Browser(page, address="10.0.0.7")
    for n in range(20):
        assert attacker.log_in(f"name {n}", "wrong").status_code == 401
    assert attacker.log_in("rita").status_code == 429
    assert Browser(page, address="10.0.0.8").log_in("rita").status_code == 200


def test_successful_log_ins_do_not_throttle_an_address(page: Any) -> None:
    for _ in range(25):
        assert Browser(page).log_in("rita").status_code == 200


def test_many_log_ins_of_one_account_end_no_other_session(page: Any, rita: Browser) -> None:
    for _ in range(500):
        page.state.context.sessions.begin("rea", "reader", PASSWORD)
    assert rita.get("/").url.path == "/"


@pytest.mark.parametrize(("times", "minutes", "last"), [(3, 29, 30), (47, 10, 10)], ids=["idle", "eight hours"])
def test_session_ends_after_idle_time_and_after_eight_hours(
    browser: Browser, clock: Clock, times: int, minutes: int, last: int
) -> None:
    browser.log_in()
    for _ in range(times):
        clock.now += minutes * 60
        assert browser.get("/").url.path == "/"
    clock.now += last * 60
    ended = browser.get("/")
    assert ended.url.path == "/login"
    assert "Your session has ended." in ended.text


def test_cookie_is_invalid_after_log_out(browser: Browser, page: Any) -> None:
    browser.log_in()
    cookies = dict(browser.client.cookies)
    assert browser.send("/", "/logout").url.path == "/login"
    other_browser = Browser(page)
    other_browser.client.cookies.update(cookies)
    assert other_browser.get("/").url.path == "/login"


def test_log_in_replaces_a_token_that_the_browser_sent(browser: Browser, page: Any) -> None:
    name = page.state.context.cookie
    browser.client.cookies.set(name, "chosen by somebody else", domain="127.0.0.1")
    browser.log_in()
    assert "chosen by somebody else" not in [c.value for c in browser.client.cookies.jar if c.name == name and c.path]
    assert browser.get("/").url.path == "/"


def test_log_in_without_a_form_token_is_refused(browser: Browser) -> None:
    browser.get("/login")
    response = browser.client.post("/login", data={"name": "rita", "password": PASSWORD})
    assert response.status_code == 403
    assert browser.get("/").url.path == "/login"


@pytest.mark.parametrize(("base", "secure"), [("http://127.0.0.1:8000", False), ("https://localhost", True)])
def test_session_cookie_is_http_only_same_site_and_secure(page: Any, base: str, secure: bool) -> None:
    browser = Browser(page, base)
    fields = {"csrf": form_token(browser), "name": "rita", "password": PASSWORD}
    response = browser.client.post("/login", data=fields, follow_redirects=False)
    [cookie] = [c for c in response.headers.get_list("set-cookie") if c.startswith(f"{page.state.context.cookie}=")]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert ("Secure" in cookie) is secure
    assert PASSWORD not in response.headers.get("set-cookie", "")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", ""])
def test_unknown_host_is_refused(browser: Browser, host: str) -> None:
    assert browser.get("/login", headers={"host": host}).status_code == 400


@pytest.mark.parametrize("host", ["127.0.0.1:8001", "localhost", "[::1]:8000"])
def test_loopback_hosts_are_accepted(browser: Browser, host: str) -> None:
    assert browser.get("/login", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/login", "/", "/nowhere", "/docs", "/openapi.json", "/static/review.css"])
def test_every_response_has_security_headers(browser: Browser, path: str) -> None:
    response = browser.get(path, follow_redirects=False)
    assert response.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert "frame-ancestors 'none'" in POLICY
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert (response.headers.get("cache-control") == "no-store") is not path.startswith("/static/")


def test_internal_error_shows_no_traceback_and_has_security_headers(page: Any) -> None:
    class Broken(StaticAuthenticator):
        def check(self, *_: str) -> None:
            raise RuntimeError("secret")

    page.state.context.authenticator = Broken()
    response = Browser(page).log_in()
    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.headers["content-security-policy"] == POLICY


def test_unreachable_registry_is_reported_and_not_counted_as_a_failure(page: Any) -> None:
    class Silent(StaticAuthenticator):
        def check(self, *_: str) -> None:
            raise SadclError("The registry can't be reached", fix="Start the server")

    browser, page.state.context.authenticator = Browser(page), Silent()
    for _ in range(6):
        response = browser.log_in()
        assert response.status_code == 503
        assert "The registry can&#39;t be reached. Start the server." in response.text


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_api_schema_is_not_published(browser: Browser, path: str) -> None:
    assert browser.get(path).status_code == 404


def test_forms_have_limits_of_size_and_one_content_type(browser: Browser) -> None:
    post = browser.client.post
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert post("/login", content=b"name=" + b"x" * 70_000, headers=kind).status_code == 413
    assert post("/login", content=b"&".join([b"a=1"] * 20), headers=kind).status_code == 400
    assert post("/login", content=b"name=%ff", headers=kind).status_code == 400
    assert post("/login", json={"name": "rita"}).status_code == 415


def test_password_is_only_in_memory(browser: Browser, page: Any, empty: Path) -> None:
    browser.log_in()
    known = list(page.state.context.sessions._by_token.values())
    assert len(known) == 1
    assert PASSWORD not in repr(known)
    assert not [path for path in empty.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]


def test_registry_without_accounts_is_refused_at_start(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SADCL_PROJECT", str(empty))
    monkeypatch.delenv(client.ADDRESS, raising=False)
    with pytest.raises(SadclError, match=r"needs a registry with accounts.*sadcl up"):
        create_app()


class Changing(StaticAuthenticator):
    """Registry whose accounts change; counts its checks."""

    def __init__(self) -> None:
        self.deleted, self.checks, self.roles, self.unreachable = set[str](), 0, dict(StaticAuthenticator.people), False

    def check(self, name: str, password: str) -> Person | None:
        self.checks += 1
        if self.unreachable:
            raise SadclError("The registry can't be reached", fix="Start the server")
        person = super().check(name, password)
        return None if person is None or name in self.deleted else Person(name, self.roles[name])


@pytest.fixture
def authenticator(page: Any) -> Changing:
    page.state.context.authenticator = Changing()
    return page.state.context.authenticator  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", ["/", "/versions/3/better/0/photo.jpg"])
def test_session_ends_with_the_account(browser: Browser, authenticator: Changing, clock: Clock, path: str) -> None:
    browser.log_in()
    authenticator.deleted.add("rita")
    clock.now += CHECK_INTERVAL
    ended = browser.get(path)
    assert ended.url.path == "/login"
    assert "Your session has ended." in ended.text
    authenticator.deleted.clear()
    assert browser.get("/").url.path == "/login"


def test_registry_confirms_a_session_once_an_interval(browser: Browser, authenticator: Changing, clock: Clock) -> None:
    browser.log_in()
    for interval in range(3):
        for _ in range(5):
            assert browser.get("/").url.path == "/"
        assert authenticator.checks == 1 + interval
        clock.now += CHECK_INTERVAL


def test_changed_role_takes_effect_within_an_interval(browser: Browser, authenticator: Changing, clock: Clock) -> None:
    browser.log_in()
    authenticator.roles["rita"] = "reader"
    clock.now += CHECK_INTERVAL
    assert "rita, reader" in browser.get("/").text


def test_unreachable_registry_keeps_sessions_and_allows_log_out(
    browser: Browser, authenticator: Changing, clock: Clock
) -> None:
    browser.log_in()
    authenticator.unreachable = True
    clock.now += CHECK_INTERVAL
    response = browser.get("/")
    assert (response.status_code, response.url.path) == (503, "/")
    assert "The registry can&#39;t be reached. Start the server." in response.text
    token = re.search(r'name="csrf" value="([^"]+)"', response.text)
    authenticator.unreachable = False
    assert browser.get("/").status_code == 200
    authenticator.unreachable = True
    clock.now += CHECK_INTERVAL
    assert token is not None
    assert browser.client.post("/logout", data={"csrf": token[1]}).url.path == "/login"


@pytest.mark.parametrize(
    ("name", "password"),
    [("ri\0ta", PASSWORD), ("rita\x1b", PASSWORD), ("n" * 201, PASSWORD), ("rita", "p" * 1001), ("rita", "a\0b"),
     ("rita:a", "long password"), ("rita", ""), ("", "")],
)  # fmt: skip
def test_impossible_names_count_as_failures_without_a_request(
    browser: Browser, authenticator: Changing, name: str, password: str
) -> None:
    for _ in range(5):
        response = browser.log_in(name, password)
        assert (response.status_code, "Wrong name or password." in response.text) == (401, True)
    assert browser.log_in(name, password).status_code == 429
    assert authenticator.checks == 0


def test_form_token_is_for_one_browser_and_one_hour(browser: Browser, page: Any, clock: Clock) -> None:
    tokens = [form_token(browser) for _ in range(2)]
    assert len(set(tokens)) == 2
    fields = {"name": "rita", "password": PASSWORD}
    for token in (tokens[0], form_token(Browser(page))):
        refused = browser.client.post("/login", data={"csrf": token, **fields})
        assert (refused.status_code, "Try again." in refused.text) == (403, True)
    late = form_token(browser)
    clock.now += FORM_LIFETIME
    assert browser.client.post("/login", data={"csrf": late, **fields}).status_code == 403
    assert browser.client.post("/login", data={"csrf": form_token(browser), **fields}).url.path == "/"


def test_guessing_does_not_lock_out_people_who_logged_in_before(page: Any) -> None:
    assert Browser(page, address="127.0.0.1").log_in("rita").status_code == 200
    other_browser = Browser(page, address="127.0.0.1")
    for _ in range(30):
        other_browser.log_in("rita", "a guess")
    assert other_browser.log_in("rita", "a guess").status_code == 429
    for name in ("rita", "ron"):
        assert Browser(page, address="127.0.0.1").log_in(name).status_code == 200


def form_token(browser: Browser) -> str:
    token = re.search(r'name="csrf" value="([^"]+)"', browser.get("/login").text)
    assert token is not None
    return token[1]
