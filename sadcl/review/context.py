"""What all requests of one page share, and how a page is rendered."""

import logging
import secrets
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, StreamingResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from sadcl import files
from sadcl.accounts.throttle import LoginThrottle
from sadcl.review.after_decision import Aftermath
from sadcl.review.authentication import Authenticator
from sadcl.review.cache import Cache
from sadcl.review.gateway import Registry
from sadcl.review.sessions import Session, Sessions
from sadcl.review.thumbnails import Pictures

CUT_SHORT = """<section class="card refused" role="alert"><p>The rest of this page could not be made. The page's log
says why.</p></section></main></body></html>"""


class AppContext:
    """One project's page.

    Args:
        root: the project's folder.
        door: who may come in.
        clock: seconds that never go back.
        aftermath: what follows a decision.
    """

    def __init__(self, root: Path, door: Authenticator, clock: Callable[[], float], aftermath: Aftermath) -> None:
        own = files.digest_of(str(root.resolve()))[:8]  # cookies know no ports: two projects on one host don't share
        self.cookie, self.form_cookie = f"sadcl_{own}", f"sadcl_form_{own}"
        self.key = secrets.token_bytes(32)
        self.door, self.clock = door, clock
        self.sessions, self.attempts = Sessions(clock), LoginThrottle(clock)
        self.cache = Cache(root)
        self.registry = Registry(root, door, self.cache, aftermath)
        self.pictures = Pictures(root, self.cache)
        self._templates = _environment()

    def nonce(self) -> str:
        """Something that nobody guesses."""
        return secrets.token_urlsafe(32)

    def render(self, template: str, who: Session | None, status: int = 200, **values: Any) -> HTMLResponse:
        """A page, whole."""
        text = self._templates.get_template(template).render(who=who, **values)
        return HTMLResponse(_encoded(text), status)

    def stream(self, template: str, who: Session, status: int = 200, **values: Any) -> StreamingResponse:
        """A page that goes out section by section, for what takes a moment where nobody asked before."""
        pieces = self._templates.get_template(template).generate(who=who, **values)
        return StreamingResponse(_sections(pieces), status, media_type="text/html")


def desk(request: Request) -> AppContext:
    """The desk of the app that a request is for."""
    found: AppContext = request.app.state.desk
    return found


def _sections(pieces: Iterator[str]) -> Iterator[bytes]:
    """Whole sections; a page that began is ended in words, whatever happens."""
    held: list[str] = []
    try:
        for piece in pieces:
            held.append(piece)
            if "</section>" in piece:
                yield _encoded("".join(held))
                held = []
    except Exception:
        logging.getLogger(__name__).exception("A page was cut short")
        held = [CUT_SHORT]
    yield _encoded("".join(held))


def _encoded(text: str) -> bytes:
    """As UTF-8; halves of characters, which YAML and JSON can hold, become question marks."""
    return text.encode(errors="replace")


def _environment() -> Environment:
    """Names of people, classes and photos, and reasons, are other people's words: all of them are escaped."""
    made = Environment(
        loader=PackageLoader("sadcl.review"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    made.filters["figure"] = lambda value: "–" if value is None or value != value else f"{value:.2f}"
    made.filters["signed"] = lambda value: "–" if value is None or value != value else f"{round(value, 2) + 0.0:+.2f}"
    made.filters["count"] = lambda value: "–" if value is None else f"{value:,}"
    made.filters["share"] = lambda value: f"{100 * value:.0f} %"
    made.filters["day"] = _day
    return made


def _day(time: datetime | str | None) -> str:
    """A time in UTC, to the minute; what is no time stays as it is."""
    if time is None:
        return ""
    try:
        when = datetime.fromisoformat(time) if isinstance(time, str) else time
    except ValueError:
        return str(time)
    return f"{when:%Y-%m-%d %H:%M} UTC"
