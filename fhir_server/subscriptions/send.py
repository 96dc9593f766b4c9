"""One notification over HTTP (R4 subscription.html#channels, rest-hook), and what the answer means.

R4 defines the channel by its code: a POST to the endpoint; where a payload is wanted, the endpoint is a service base and the
resource is PUT below it. So: no payload -> `POST endpoint`, empty; payload -> `PUT endpoint/Type/id` with the version that
changed. A receiver that says it has no such address or method (404, 405, 501) is offered the same body by `POST endpoint`,
which is how many webhooks work.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Final

import httpcore

from fhir_server.kit import clock
from fhir_server.kit.addresses import Closed
from fhir_server.settings import Settings
from fhir_server.subscriptions import mail, signing
from fhir_server.subscriptions.channel import Channel
from fhir_server.subscriptions.egress import NOT_PUBLIC

_MOST_ANSWER: Final = 1 << 20
_NO_SUCH_PLACE: Final = frozenset({404, 405, 501})
_GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Notification:
    """What is sent: `id` is the same at every attempt; `body` is that of one version and `path` its Type/id, or it is a Bundle,
    or both are empty. `secrets` sign it.
    """

    id: str
    path: str = ""
    body: bytes = field(default=b"", repr=False)
    secrets: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt: the status (None when no answer came) and a reason class where it failed."""

    status: int | None
    reason: str | None = None
    retry_after: float | None = None

    @property
    def delivered(self) -> bool:
        """Whether the receiver has taken it: 2xx and nothing else."""
        return self.reason is None

    @property
    def gone(self) -> bool:
        """Whether the receiver wants nothing any more."""
        return self.status == _GONE


async def send(
    client: httpcore.AsyncConnectionPool, channel: Channel, notification: Notification, settings: Settings | None = None
) -> Outcome:
    """Send once; whatever the network does is an Outcome. `settings` name the mail server."""
    try:
        async with asyncio.timeout(channel.seconds):
            if channel.kind == "email":
                reason = await mail.send(channel, notification.id, notification.body, settings)
                return Outcome(250 if reason is None else None, reason)
            return await _send(client, channel, notification)
    except Closed:
        return Outcome(None, NOT_PUBLIC)
    except (TimeoutError, httpcore.TimeoutException):
        return Outcome(None, "timeout")
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.ConnectionNotAvailable, OSError) as error:
        return Outcome(None, _network_reason(error))


async def _send(client: httpcore.AsyncConnectionPool, channel: Channel, notification: Notification) -> Outcome:
    if not notification.path:
        return await _request(client, "POST", channel, channel.target(), notification)
    outcome = await _request(client, "PUT", channel, channel.target(notification.path), notification)
    if outcome.status in _NO_SUCH_PLACE:
        return await _request(client, "POST", channel, channel.target(), notification)
    return outcome


async def _request(
    client: httpcore.AsyncConnectionPool, method: str, channel: Channel, target: str, notification: Notification
) -> Outcome:
    url = httpcore.URL(
        scheme=channel.scheme.encode(),
        host=channel.host.encode("ascii"),
        port=channel.port,
        target=target.encode("ascii"),
    )
    async with client.stream(
        method,
        url,
        headers=_headers(channel, notification),
        content=notification.body,
        extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), channel.seconds)},
    ) as response:
        outcome = _outcome(response)
        await _read_out(response)
        return outcome


def _headers(channel: Channel, notification: Notification) -> list[tuple[bytes, bytes]]:
    default = {"http": 80, "https": 443}[channel.scheme] == channel.port
    host = f"[{channel.host}]" if ":" in channel.host else channel.host
    moment = str(int(clock.seconds()))
    headers = [
        ("Host", host if default else f"{host}:{channel.port}"),
        ("User-Agent", "Clarity"),
        ("Accept", "*/*"),
        ("webhook-id", notification.id),
        ("webhook-timestamp", moment),
        ("Content-Length", str(len(notification.body))),
    ]
    if notification.secrets:
        signed = (
            signing.signature(secret, notification.id, moment, notification.body) for secret in notification.secrets
        )
        headers.append(("webhook-signature", " ".join(signed)))
    if notification.body:
        headers.append(("Content-Type", channel.payload or ""))
    headers += channel.headers
    return [(name.encode("ascii"), value.encode("ascii")) for name, value in headers]


async def _read_out(response: httpcore.Response) -> None:
    """Read the answer to its end, which is what shows that the receiver meant it; a long one is cut off."""
    size = 0
    async for chunk in response.aiter_stream():
        size += len(chunk)
        if size > _MOST_ANSWER:
            return


def _outcome(response: httpcore.Response) -> Outcome:
    status = response.status
    if 200 <= status < 300:
        return Outcome(status)
    reason = "redirect" if 300 <= status < 400 else f"status-{status}"
    return Outcome(status, reason, _retry_after(response.headers))


def _retry_after(headers: list[tuple[bytes, bytes]]) -> float | None:
    """Return the seconds that `Retry-After` asks for, given as such or as a date (RFC 9110 §10.2.3)."""
    text = next((value.decode("latin-1").strip() for name, value in headers if name.lower() == b"retry-after"), "")
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - clock.seconds())
    except (ValueError, TypeError):
        return None


def _network_reason(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return "tls"
        cause = cause.__cause__ or cause.__context__
    return "connection" if isinstance(error, httpcore.ConnectError) else "broken-answer"
