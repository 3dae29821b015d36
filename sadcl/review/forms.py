"""Form parsing with limits of size, and signatures against cross-site request forgery."""

import hashlib
import hmac
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, HTTPException, Request

from sadcl.review.context import AppContext

MAX_BYTES, MAX_FIELDS = 64 * 1024, 16
"""Limits of a form."""
FORM_LIFETIME = 60 * 60
"""Seconds within which the log-in form can be submitted."""
CONTENT_TYPE = "application/x-www-form-urlencoded"
Form = dict[str, str]


async def form(request: Request) -> Form:
    """Parse the body of a request; of repeated fields the last value counts.

    Raises:
        HTTPException: the body is too large, or not a URL-encoded form.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != CONTENT_TYPE:
        raise HTTPException(415, "Submit the form from its page.")
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise HTTPException(413, "The form is too large.")
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=MAX_FIELDS, errors="strict")
    except ValueError:
        raise HTTPException(400, "The form can't be read.") from None
    return {name: values[-1] for name, values in fields.items()}


PostedForm = Annotated[Form, Depends(form)]


def is_fresh(context: AppContext, nonce: str, signature: str) -> bool:
    """Whether ``signature`` belongs to a ``nonce`` of this process that is younger than ``FORM_LIFETIME``."""
    if not equal_in_constant_time(signature, sign(context, nonce)):
        return False
    return context.clock() - float(nonce.partition(".")[0]) < FORM_LIFETIME  # signed, so it begins with the time


def sign(context: AppContext, nonce: str) -> str:
    """HMAC-SHA256 of a nonce under the key of this process, in hex."""
    return hmac.new(context.key, nonce.encode(), hashlib.sha256).hexdigest()


def equal_in_constant_time(value: str, expected: str) -> bool:
    """Compare strings without leaking where they differ."""
    return hmac.compare_digest(value.encode(), expected.encode())
