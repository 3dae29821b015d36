"""Application context that all requests share, and rendering of templates."""

import logging
import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse, StreamingResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from sadcl import files
from sadcl.accounts.throttle import LoginThrottle
from sadcl.registry.promote import Check
from sadcl.review.after_decision import AfterDecision
from sadcl.review.authentication import Authenticator
from sadcl.review.background import BackgroundValues
from sadcl.review.cache import Cache
from sadcl.review.gateway import RegistryGateway
from sadcl.review.sessions import Session, Sessions
from sadcl.review.thumbnails import Thumbnails

TRUNCATED_PAGE = """<section class="card refused" role="alert"><p>The rest of this page could not be rendered. See the
log of the review page for details.</p></section></main></body></html>"""


class AppContext:
    """State of the review page of one project.

    Args:
        root: the project's folder.
        authenticator: checks log-ins.
        clock: monotonic seconds.
        after_decision: synchronises the project after a decision.
        check: refuses a promotion by raising; None where no verifier is required.

    Attributes:
        requires_verification: only verified figures are shown, and count.
    """

    def __init__(
        self,
        root: Path,
        authenticator: Authenticator,
        clock: Callable[[], float],
        after_decision: AfterDecision,
        check: Check | None,
    ) -> None:
        self.requires_verification = check is not None
        # cookies ignore ports: the names keep two projects on one host apart
        project_id = files.digest_of(str(root.resolve()))[:8]
        self.cookie, self.form_cookie = f"sadcl_{project_id}", f"sadcl_form_{project_id}"
        self.key = secrets.token_bytes(32)
        self.authenticator, self.clock = authenticator, clock
        self.sessions, self.throttle = Sessions(clock), LoginThrottle(clock)
        self.cache = Cache(root)
        self.background = BackgroundValues(self.cache, clock)
        self.registry = RegistryGateway(root, authenticator, self.cache, after_decision, check)
        self.thumbnails = Thumbnails(root, self.cache)
        self._templates = _environment()

    def nonce(self) -> str:
        """A random token of 256 bits."""
        return secrets.token_urlsafe(32)

    def render(self, template: str, session: Session | None, status: int = 200, **values: Any) -> HTMLResponse:
        """Render a page as one response."""
        text = self._templates.get_template(template).render(session=session, **values)
        return HTMLResponse(_encoded(text), status)

    def stream(self, template: str, session: Session, status: int = 200, **values: Any) -> StreamingResponse:
        """Render a page section by section, for content that takes seconds when it is not yet cached."""
        fragments = self._templates.get_template(template).generate(session=session, **values)
        return StreamingResponse(_sections(fragments), status, media_type="text/html")


def app_context(request: Request) -> AppContext:
    """The context of the application that handles a request."""
    context: AppContext = request.app.state.context
    return context


def _sections(fragments: Iterator[str]) -> Iterator[bytes]:
    """Group fragments into whole sections; after an error the page ends with a message and valid HTML."""
    pending: list[str] = []
    try:
        for fragment in fragments:
            pending.append(fragment)
            if "</section>" in fragment:
                yield _encoded("".join(pending))
                pending = []
    except Exception:
        logging.getLogger(__name__).exception("Rendering stopped in the middle of a page")
        pending = [TRUNCATED_PAGE]
    yield _encoded("".join(pending))


def _encoded(text: str) -> bytes:
    """UTF-8 bytes; lone surrogates, which YAML and JSON can hold, become question marks."""
    return text.encode(errors="replace")


def _environment() -> Environment:
    """Jinja environment; it escapes every value, since names and reasons come from other people."""
    environment = Environment(
        loader=PackageLoader("sadcl.review"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["figure"] = lambda value: "–" if value is None or value != value else f"{value:.2f}"
    environment.filters["signed"] = _signed
    environment.filters["count"] = lambda value: "–" if value is None else f"{value:,}"
    environment.filters["share"] = lambda value: f"{100 * value:.0f} %"
    environment.filters["day"] = _day
    return environment


def _signed(value: float | None) -> str:
    """Two decimals with a sign; a rounded negative zero has a plus."""
    return "–" if value is None or value != value else f"{round(value, 2) + 0.0:+.2f}"


def _day(time: datetime | str | None) -> str:
    """A time in UTC, to the minute; other text is returned unchanged."""
    if time is None:
        return ""
    try:
        moment = datetime.fromisoformat(time) if isinstance(time, str) else time
    except ValueError:
        return str(time)
    return f"{moment.astimezone(UTC) if moment.tzinfo else moment:%Y-%m-%d %H:%M} UTC"
