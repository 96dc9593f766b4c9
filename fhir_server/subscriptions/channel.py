"""Where and how a Subscription is to be told: `Subscription.channel`, checked before anything is ever sent there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit

from fhir_server.subscriptions.refusal import Refusal

SECONDS: Final = 15.0
"""How long a receiver may take for everything, from the name to the last byte of its answer."""
PAYLOADS: Final = frozenset({"application/fhir+json", "application/json"})
_OURS: Final = frozenset(
    {
        "host",
        "content-length",
        "content-type",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "upgrade",
        "te",
        "trailer",
    }
    | {"expect", "proxy-authorization", "proxy-connection", "user-agent", "accept", "accept-encoding"}
)
_HEADER: Final = re.compile(
    r"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,100}):[ \t]*([\x21-\x7e]([\x20-\x7e\t]{0,4000}[\x21-\x7e])?)?[ \t]*"
)
_MAILBOX: Final = re.compile(
    r"mailto:([A-Za-z0-9.!#$&'*+/=^_`{|}~-]{1,64})@([A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*)"
)
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}
_MOST_HEADERS: Final = 20


@dataclass(frozen=True, slots=True)
class Channel:
    """Where to: the endpoint taken apart, what the client wants in the headers, and whether anything is sent along.

    `kind` is rest-hook or message (HTTP both), email (`path` is the address) or websocket (nothing is sent from here).
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str
    headers: tuple[tuple[str, str], ...]
    payload: str | None
    kind: str = "rest-hook"
    seconds: float = SECONDS

    @property
    def origin(self) -> str:
        """Scheme, host and port: what is slow or broken together."""
        return f"{self.scheme}://{self.host}:{self.port}"

    def target(self, suffix: str = "") -> str:
        """Return the request target, with `suffix` below the path."""
        path = f"{self.path.rstrip('/')}/{suffix}" if suffix else self.path
        return f"{path}?{self.query}" if self.query else path


def parse(subscription: dict[str, Any]) -> Channel:
    """Return the channel of a Subscription; Refusal when it is not one that we serve."""
    channel = subscription.get("channel", {})
    if channel.get("type") != "rest-hook":
        raise Refusal("channel-not-supported", "R4 criteria are served by channel.type rest-hook; others need a topic.")
    payload = channel.get("payload")
    if payload is not None and payload.split(";")[0].strip().lower() not in PAYLOADS:
        raise Refusal(
            "payload-not-supported", "channel.payload is application/fhir+json, or absent for an empty notification."
        )
    return _http(channel, "rest-hook", payload, SECONDS)


def of_topic(subscription: dict[str, Any], kind: str, mime: str, timeout: int | None) -> Channel:
    """Return the channel of a topic-based Subscription, whose kind and payload are known to be served."""
    channel = subscription.get("channel", {})
    seconds = min(SECONDS, float(timeout or SECONDS))
    if kind == "websocket":
        if channel.get("endpoint"):
            raise Refusal(
                "endpoint-not-expected", "A websocket has no channel.endpoint: the client comes to the server."
            )
        return Channel("wss", "", 0, "", "", (), mime, kind, seconds)
    if kind == "email":
        match = _MAILBOX.fullmatch(channel.get("endpoint") or "")
        if match is None:
            raise Refusal("endpoint-invalid", "channel.endpoint is mailto: and one address.")
        return Channel("mailto", match[2], 0, match[1] + "@" + match[2], "", (), mime, kind, seconds)
    return _http(channel, kind, mime, seconds)


def _http(channel: dict[str, Any], kind: str, payload: str | None, seconds: float) -> Channel:
    parts = _endpoint(channel.get("endpoint"))
    port = parts.port if parts.port is not None else _DEFAULT_PORTS[parts.scheme]
    headers = tuple(_header(line) for line in channel.get("header", ()) if line is not None)
    if len(headers) > _MOST_HEADERS:
        raise Refusal("header-not-allowed", f"channel.header has more than {_MOST_HEADERS} lines.")
    return Channel(
        parts.scheme, parts.hostname or "", port, parts.path or "/", parts.query, headers, payload, kind, seconds
    )


def _endpoint(text: str | None) -> SplitResult:
    if not text:
        raise Refusal("endpoint-missing", "This channel needs channel.endpoint.")
    try:
        parts = urlsplit(text)
        usable = parts.scheme in _DEFAULT_PORTS and bool(parts.hostname) and parts.port != 0 and text.isascii()
    except ValueError:  # a port that is no number, an address that is none
        usable = False
    if not usable or parts.username is not None or parts.fragment or not text.isprintable() or " " in text:
        raise Refusal("endpoint-invalid", "channel.endpoint is https://host/path, without user name or fragment.")
    return parts


def _header(line: str) -> tuple[str, str]:
    match = _HEADER.fullmatch(line)
    if match is None:
        raise Refusal("header-invalid", "Each channel.header is one line `Name: value` of printable ASCII.")
    name, value = match[1], match[2] or ""
    if name.lower() in _OURS or name.lower().startswith("webhook-"):
        raise Refusal("header-not-allowed", f"channel.header may not set {name}.")
    return name, value
