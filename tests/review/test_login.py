"""Who comes in, for how long, and what every answer says about safety."""

import re
from pathlib import Path
from typing import Any

import pytest

from sadcl.errors import SadclError
from sadcl.registry import client
from sadcl.review.app import create_app
from sadcl.review.forms import OPEN
from sadcl.review.security_headers import POLICY
from sadcl.review.sessions import AGAIN
from tests.paths import REPOSITORY
from tests.review.conftest import PASSWORD, Browser, Clock, Door, Person


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that registered nothing: what these tests are about does not ask the registry."""
    root = tmp_path_factory.mktemp("empty")
    recipe = REPOSITORY / "recipes/demo.yaml"
    (root / "params.yaml").write_text(recipe.read_text(encoding="utf-8"))
    return root


@pytest.fixture
def page(empty: Path, clock: Clock) -> Any:
    return create_app(empty, door=Door(), clock=clock)


@pytest.fixture
def browser(page: Any) -> Browser:
    return Browser(page)


def test_a_page_leads_to_the_log_in_and_from_there_to_itself(browser: Browser) -> None:
    asked = browser.get("/history?x=1")
    assert asked.url.path == "/login"
    to = re.search(r'name="next" value="([^"]+)"', asked.text)
    assert to is not None
    answer = browser.log_in("rea", to=to[1])
    assert (answer.status_code, str(answer.url)) == (200, "http://127.0.0.1:8000/history?x=1")
    assert "rea, reader" in answer.text


@pytest.mark.parametrize("to", ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:1", "/a\nb"])
def test_a_log_in_leads_to_no_other_site(browser: Browser, to: str) -> None:
    assert str(browser.log_in(to=to).url) == "http://127.0.0.1:8000/"


@pytest.mark.parametrize(("name", "password"), [("rita", "wrong"), ("nobody", PASSWORD), ("", "")])
def test_a_wrong_name_and_a_wrong_password_are_answered_alike(browser: Browser, name: str, password: str) -> None:
    answer = browser.log_in(name, password)
    assert answer.status_code == 401
    assert "Name and password do not belong together." in answer.text
    assert browser.get("/").url.path == "/login"


def test_after_five_failures_a_name_waits_and_others_do_not(browser: Browser, page: Any, clock: Clock) -> None:
    for _ in range(5):
        assert browser.log_in("rita", "wrong").status_code == 401
    refused = browser.log_in(" RITA", PASSWORD)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "15")
    assert "Too many attempts. Wait 15 s" in refused.text
    assert Browser(page).log_in("ron").status_code == 200
    clock.now += 15
    assert browser.log_in("rita").status_code == 200


def test_each_further_failure_waits_twice_as_long_and_quiet_forgets(browser: Browser, clock: Clock) -> None:
    for _ in range(5):
        browser.log_in("rita", "wrong")
    for wait in (15, 30, 60, 120, 240, 300, 300):
        refused = browser.log_in("rita", "wrong")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, str(wait))
        clock.now += wait
        assert browser.log_in("rita", "wrong").status_code == 401
    clock.now += 15 * 60
    assert browser.log_in("rita").status_code == 200


def test_an_address_that_tries_many_names_waits(page: Any) -> None:
    here = Browser(page, address="10.0.0.7")
    for n in range(20):
        assert here.log_in(f"name {n}", "wrong").status_code == 401
    assert here.log_in("rita").status_code == 429
    assert Browser(page, address="10.0.0.8").log_in("rita").status_code == 200


def test_a_team_behind_one_address_does_not_shut_itself_out(page: Any) -> None:
    for _ in range(25):
        assert Browser(page).log_in("rita").status_code == 200


@pytest.mark.parametrize(("times", "minutes", "last"), [(3, 29, 30), (47, 10, 10)], ids=["idle", "eight hours"])
def test_a_session_ends_when_it_is_idle_and_at_all_events(
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


def test_after_logging_out_the_cookie_is_worth_nothing(browser: Browser, page: Any) -> None:
    browser.log_in()
    kept = dict(browser.client.cookies)
    assert browser.send("/", "/logout").url.path == "/login"
    thief = Browser(page)
    thief.client.cookies.update(kept)
    assert thief.get("/").url.path == "/login"


def test_a_log_in_gives_a_new_token_whatever_the_browser_brought(browser: Browser, page: Any) -> None:
    name = page.state.desk.cookie
    browser.client.cookies.set(name, "chosen by somebody else", domain="127.0.0.1")
    browser.log_in()
    assert "chosen by somebody else" not in [c.value for c in browser.client.cookies.jar if c.name == name and c.path]
    assert browser.get("/").url.path == "/"


def test_a_log_in_from_another_site_is_refused(browser: Browser) -> None:
    browser.get("/login")
    answer = browser.client.post("/login", data={"name": "rita", "password": PASSWORD})
    assert answer.status_code == 403
    assert browser.get("/").url.path == "/login"


@pytest.mark.parametrize(("base", "secure"), [("http://127.0.0.1:8000", False), ("https://localhost", True)])
def test_the_session_cookie_is_for_this_site_s_requests_alone(page: Any, base: str, secure: bool) -> None:
    browser = Browser(page, base)
    fields = {"csrf": form_token(browser), "name": "rita", "password": PASSWORD}
    answer = browser.client.post("/login", data=fields, follow_redirects=False)
    [cookie] = [c for c in answer.headers.get_list("set-cookie") if c.startswith(f"{page.state.desk.cookie}=")]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert ("Secure" in cookie) is secure
    assert PASSWORD not in answer.headers.get("set-cookie", "")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost@evil.example", ""])
def test_a_name_that_somebody_points_here_is_refused(browser: Browser, host: str) -> None:
    assert browser.get("/login", headers={"host": host}).status_code == 400


@pytest.mark.parametrize("host", ["127.0.0.1:8001", "localhost", "[::1]:8000"])
def test_the_names_of_this_machine_are_answered(browser: Browser, host: str) -> None:
    assert browser.get("/login", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("path", ["/login", "/", "/nowhere", "/docs", "/openapi.json", "/static/review.css"])
def test_every_answer_carries_the_headers(browser: Browser, path: str) -> None:
    answer = browser.get(path, follow_redirects=False)
    assert answer.headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    assert "frame-ancestors 'none'" in POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert (answer.headers.get("cache-control") == "no-store") is not path.startswith("/static/")


def test_a_fault_shows_no_traceback_and_keeps_the_headers(page: Any) -> None:
    class Broken(Door):
        def check(self, *_: str) -> None:
            raise RuntimeError("secret")

    page.state.desk.door = Broken()
    answer = Browser(page).log_in()
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["content-security-policy"] == POLICY


def test_a_registry_that_does_not_answer_is_a_sentence_and_no_failed_attempt(page: Any) -> None:
    class Silent(Door):
        def check(self, *_: str) -> None:
            raise SadclError("The registry can't be reached", fix="Start the server")

    browser, page.state.desk.door = Browser(page), Silent()
    for _ in range(6):
        answer = browser.log_in()
        assert answer.status_code == 503
        assert "The registry can&#39;t be reached. Start the server." in answer.text


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_nothing_describes_the_page_to_strangers(browser: Browser, path: str) -> None:
    assert browser.get(path).status_code == 404


def test_forms_are_bounded_and_of_one_kind(browser: Browser) -> None:
    post = browser.client.post
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert post("/login", content=b"name=" + b"x" * 70_000, headers=kind).status_code == 413
    assert post("/login", content=b"&".join([b"a=1"] * 20), headers=kind).status_code == 400
    assert post("/login", content=b"name=%ff", headers=kind).status_code == 400
    assert post("/login", json={"name": "rita"}).status_code == 415


def test_a_password_stands_nowhere_but_in_memory(browser: Browser, page: Any, empty: Path) -> None:
    browser.log_in()
    known = list(page.state.desk.sessions._by_token.values())
    assert len(known) == 1
    assert PASSWORD not in repr(known)
    assert not [path for path in empty.rglob("*") if path.is_file() and PASSWORD.encode() in path.read_bytes()]


def test_a_registry_without_accounts_is_refused_at_the_start(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SADCL_PROJECT", str(empty))
    monkeypatch.delenv(client.ADDRESS, raising=False)
    with pytest.raises(SadclError, match=r"needs a registry with accounts.*sadcl up"):
        create_app()


class Changing(Door):
    """The log-in of a registry whose accounts change; counts how often it is asked."""

    def __init__(self) -> None:
        self.gone, self.asked, self.roles, self.silent = set[str](), 0, dict(Door.people), False

    def check(self, name: str, password: str) -> Person | None:
        self.asked += 1
        if self.silent:
            raise SadclError("The registry can't be reached", fix="Start the server")
        known = super().check(name, password)
        return None if known is None or name in self.gone else Person(name, self.roles[name])


@pytest.fixture
def door(page: Any) -> Changing:
    page.state.desk.door = Changing()
    return page.state.desk.door  # type: ignore[no-any-return]


@pytest.mark.parametrize("path", ["/", "/versions/3/better/0/photo.jpg"])
def test_a_session_ends_when_the_account_is_gone_or_has_another_password(
    browser: Browser, door: Changing, clock: Clock, path: str
) -> None:
    browser.log_in()
    door.gone.add("rita")
    clock.now += AGAIN
    ended = browser.get(path)
    assert ended.url.path == "/login"
    assert "Your session has ended." in ended.text
    door.gone.clear()
    assert browser.get("/").url.path == "/login"


def test_the_registry_is_asked_about_a_session_once_a_minute(browser: Browser, door: Changing, clock: Clock) -> None:
    browser.log_in()
    for minute in range(3):
        for _ in range(5):
            assert browser.get("/").url.path == "/"
        assert door.asked == 1 + minute
        clock.now += AGAIN


def test_a_role_that_was_taken_away_is_gone_within_a_minute(browser: Browser, door: Changing, clock: Clock) -> None:
    browser.log_in()
    door.roles["rita"] = "reader"
    clock.now += AGAIN
    assert "rita, reader" in browser.get("/").text


def test_a_registry_that_is_away_ends_no_session_and_keeps_nobody_in(
    browser: Browser, door: Changing, clock: Clock
) -> None:
    browser.log_in()
    door.silent = True
    clock.now += AGAIN
    answer = browser.get("/")
    assert (answer.status_code, answer.url.path) == (503, "/")
    assert "The registry can&#39;t be reached. Start the server." in answer.text
    token = re.search(r'name="csrf" value="([^"]+)"', answer.text)
    door.silent = False
    assert browser.get("/").status_code == 200
    door.silent = True
    clock.now += AGAIN
    assert token is not None
    assert browser.client.post("/logout", data={"csrf": token[1]}).url.path == "/login"


@pytest.mark.parametrize(
    ("name", "password"),
    [("ri\0ta", PASSWORD), ("rita\x1b", PASSWORD), ("n" * 201, PASSWORD), ("rita", "p" * 1001), ("rita", "a\0b"),
     ("rita:a", "long password"), ("rita", ""), ("", "")],
)  # fmt: skip
def test_what_nobody_is_called_is_counted_and_not_asked_about(
    browser: Browser, door: Changing, name: str, password: str
) -> None:
    for _ in range(5):
        answer = browser.log_in(name, password)
        assert (answer.status_code, "Name and password do not belong together." in answer.text) == (401, True)
    assert browser.log_in(name, password).status_code == 429
    assert door.asked == 0


def test_each_form_is_for_the_browser_that_it_was_shown_to_last(browser: Browser, page: Any, clock: Clock) -> None:
    shown = [form_token(browser) for _ in range(2)]
    assert len(set(shown)) == 2
    fields = {"name": "rita", "password": PASSWORD}
    for token in (shown[0], form_token(Browser(page))):
        refused = browser.client.post("/login", data={"csrf": token, **fields})
        assert (refused.status_code, "Try again." in refused.text) == (403, True)
    late = form_token(browser)
    clock.now += OPEN
    assert browser.client.post("/login", data={"csrf": late, **fields}).status_code == 403
    assert browser.client.post("/login", data={"csrf": form_token(browser), **fields}).url.path == "/"


def test_one_who_guesses_at_a_name_shuts_out_nobody_who_logged_in_before(page: Any) -> None:
    assert Browser(page, address="127.0.0.1").log_in("rita").status_code == 200
    thief = Browser(page, address="127.0.0.1")
    for _ in range(30):
        thief.log_in("rita", "a guess")
    assert thief.log_in("rita", "a guess").status_code == 429
    for name in ("rita", "ron"):
        assert Browser(page, address="127.0.0.1").log_in(name).status_code == 200


def form_token(browser: Browser) -> str:
    token = re.search(r'name="csrf" value="([^"]+)"', browser.get("/login").text)
    assert token is not None
    return token[1]
