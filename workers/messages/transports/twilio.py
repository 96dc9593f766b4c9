"""Text messages by Twilio's Messages resource (twilio.com/docs/messaging/api/message-resource), over plain HTTP.

The API takes no idempotency key. What makes up for it: each text ends in a link of its own, so that the list of messages to a
number tells after a broken connection whether one was taken; and the status callback carries our `ref`.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import httpx

from fhir_server.errors import FhirError
from fhir_server.kit import json
from fhir_server.settings import Settings
from workers.messages.port import Later, Never, Outgoing, Unsure

_SECONDS: Final = 10.0
_MOST: Final = 1 << 20
_CODES: Final = {
    21211: "address-malformed",
    21214: "address-malformed",
    21217: "address-malformed",
    21408: "provider-refused",
    21610: "opted-out",
    21612: "provider-refused",
    21614: "address-malformed",
}
"""Codes of errors that are about the number, with the reason that they become."""


@dataclass(frozen=True, slots=True)
class Twilio:
    """One account; `hook` is where Twilio tells what became of a message."""

    account: str
    token: str = field(repr=False)
    sender: str
    base: str
    hook: str
    name: str = "twilio"
    remembers: bool = True

    @classmethod
    def of(cls, settings: Settings, hook: str) -> Twilio:
        """Return the account of the settings."""
        assert settings.twilio_account_sid is not None
        assert settings.twilio_auth_token is not None
        assert settings.twilio_from is not None
        base = settings.twilio_base_url.rstrip("/")
        token = settings.twilio_auth_token.get_secret_value()
        return cls(settings.twilio_account_sid, token, settings.twilio_from, base, hook)

    async def send(self, message: Outgoing) -> str:
        """Create a message; the `sid` that it gets is the id."""
        form = {"To": message.to, "Body": message.text, **self._sender()}
        if self.hook.startswith("https://") or "://127.0.0.1" in self.hook:  # Twilio reaches no other
            form["StatusCallback"] = f"{self.hook}?m={message.ref}"
        answer = await self._ask("POST", data=form)
        sid = answer.get("sid")
        if not isinstance(sid, str) or not sid.startswith(("SM", "MM")):
            raise Unsure("broken-answer")
        return sid

    async def find(self, message: Outgoing, since: datetime) -> str | None:
        """Look through the newest messages to the number for the one with this mark."""
        day = (since.astimezone(UTC) - timedelta(days=1)).date()
        try:
            answer = await self._ask("GET", params={"To": message.to, "DateSent>": day.isoformat(), "PageSize": "200"})
        except Unsure as error:
            raise Later(error.reason) from error
        listed = answer.get("messages")
        found = [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
        ours = (each for each in found if message.mark and message.mark in str(each.get("body", "")))
        return next((str(each["sid"]) for each in ours if "sid" in each), None)

    def _sender(self) -> dict[str, str]:
        return {"MessagingServiceSid" if self.sender.startswith("MG") else "From": self.sender}

    async def _ask(self, method: str, **more: Any) -> dict[str, Any]:
        url = f"{self.base}/2010-04-01/Accounts/{self.account}/Messages.json"
        try:
            async with (
                asyncio.timeout(1.5 * _SECONDS),  # all of it, well within the lease of a job
                httpx.AsyncClient(auth=(self.account, self.token), timeout=_SECONDS, trust_env=False) as client,
            ):
                answer = await client.request(method, url, **more)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise Later("connection") from error
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            slow = isinstance(error, httpx.TimeoutException | TimeoutError)
            raise Unsure("timeout" if slow else "connection") from error
        return _read(answer)


def _read(answer: httpx.Response) -> dict[str, Any]:
    """Return the JSON of an answer of success; what else it is, as an exception."""
    if answer.status_code == 429 or answer.status_code >= 500:
        raise Later(f"status-{answer.status_code}", _seconds(answer.headers.get("retry-after")))
    body = _json(answer)
    if answer.is_success:
        if body is None:
            raise Unsure("broken-answer")
        return body
    code = (body or {}).get("code")
    if answer.status_code in (401, 403):  # an administrator can mend that
        raise Later("credentials")
    raise Never(_CODES.get(code, "provider-refused") if isinstance(code, int) else "provider-refused")


def _json(answer: httpx.Response) -> dict[str, Any] | None:
    if len(answer.content) > _MOST:
        return None
    try:
        body = json.decode(answer.content)
    except FhirError:
        return None
    return body if isinstance(body, dict) else None


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() and len(text) < 7 else None
