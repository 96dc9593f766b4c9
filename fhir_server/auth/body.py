"""The body of a request that is no FHIR: read as far as it may go."""

from __future__ import annotations

from starlette.requests import ClientDisconnect, Request


class BodyTooLong(ValueError):
    """The body goes on beyond its limit, or ended early."""


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body; BodyTooLong as soon as it is known to be over the limit, or when the sender went away."""
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise BodyTooLong("the body is too long")
    except ClientDisconnect as error:
        raise BodyTooLong("the body ended early") from error
    return bytes(body)
