"""Signed forms: parsing, CSRF protection, limits of size."""

import hashlib
import hmac
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, HTTPException, Request

from sadcl.review.context import AppContext

LARGEST, FIELDS = 64 * 1024, 16
"""Bytes and fields of a form."""
OPEN = 60 * 60
"""Seconds for which a form that was shown can be sent."""
KIND = "application/x-www-form-urlencoded"
Form = dict[str, str]


async def form(request: Request) -> Form:
    """The fields of a form, the last value of each.

    Raises:
        HTTPException: it is too large, or no form.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != KIND:
        raise HTTPException(415, "This is no form of this page.")
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LARGEST:
            raise HTTPException(413, "The form is too large.")
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=FIELDS, errors="strict")
    except ValueError:
        raise HTTPException(400, "The form can't be read.") from None
    return {name: values[-1] for name, values in fields.items()}


PostedForm = Annotated[Form, Depends(form)]


def _just_shown(at: AppContext, nonce: str, signature: str) -> bool:
    """Whether a form comes from the page that this browser showed last, an hour ago at most."""
    return _same(signature, _signed(at, nonce)) and at.clock() - float(nonce.partition(".")[0]) < OPEN


def _signed(at: AppContext, nonce: str) -> str:
    return hmac.new(at.key, nonce.encode(), hashlib.sha256).hexdigest()


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())
