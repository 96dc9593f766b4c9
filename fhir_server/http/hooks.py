"""What providers of messages tell us: receipts, STOP, bounces, complaints. Signed, or 403 and nothing is written.

    POST /hooks/twilio/status    what became of a text message (`m` is our reference); /t/{tenant}/hooks/... for other tenants
    POST /hooks/twilio/inbound   what somebody answered; STOP holds in every tenant, they share the number
    POST /hooks/ses              events of SES through SNS; the message says whose it is

States only move forward (`storage/messages.py`), so a replay changes nothing; an answer is taken once by its id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl

from starlette.datastructures import ImmutableMultiDict
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from twilio.request_validator import RequestValidator

from fhir_server.auth.limited import Charge
from fhir_server.errors import FhirError, Forbidden, TooLarge
from fhir_server.http.sns import Fetch, Sns
from fhir_server.kit import json
from fhir_server.kit.throttle import place
from fhir_server.settings import Settings
from fhir_server.storage import contacts, messages
from fhir_server.storage.tenants import Tenant

_MOST: Final = 256 * 1024
_TWILIO: Final = {
    "sent": "sent",
    "delivered": "received",
    "read": "received",
    "undelivered": "undelivered",
    "failed": "undelivered",
}
_SES: Final = {
    "Send": "sent",
    "Delivery": "received",
    "Complaint": "received",
    "Bounce": "undelivered",
    "Reject": "undelivered",
    "Rendering Failure": "undelivered",
}
_STOP: Final = frozenset({"STOP", "STOPP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "OPTOUT", "REVOKE"})
_START: Final = frozenset({"START", "UNSTOP"})
_OPTED_OUT: Final = "21610"
_NO_ANSWER: Final = '<?xml version="1.0" encoding="UTF-8"?><Response/>'

TenantOf = Callable[[Request], Tenant]
Form = ImmutableMultiDict[Any, Any]


def routes(
    settings: Settings,
    tenant_of: TenantOf,
    tenants: Callable[[], Iterable[Tenant]],
    charge: Charge,
    fetch: Fetch | None = None,
) -> list[Route]:
    """Return the addresses of the hooks; `fetch` gets what SNS names in place of the network."""
    sns = Sns(settings, fetch)

    async def status(request: Request) -> Response:
        tenant = tenant_of(request)
        form = await _signed_form(request, settings, partial(charge, tenant, "anonymous"))
        await _twilio_status(tenant, request.query_params.get("m"), form)
        return Response(status_code=204)

    async def inbound(request: Request) -> Response:
        form = await _signed_form(request, settings, partial(charge, tenant_of(request), "anonymous"))
        for tenant in tenants():
            await _answered(tenant, form)
        return Response(_NO_ANSWER, media_type="text/xml")

    async def ses(request: Request) -> Response:
        try:
            event = await sns.event(await _body(request))
        except Forbidden:
            await charge(tenant_of(request), "anonymous", _caller(request))
            raise
        if event is not None:
            for tenant in tenants():
                await _ses_event(tenant, event)
        return Response(status_code=204)

    paths = (("/hooks/twilio/status", status), ("/hooks/twilio/inbound", inbound), ("/hooks/ses", ses))
    return [Route(prefix + path, end, methods=["POST"]) for prefix in ("", "/t/{tenant}") for path, end in paths]


def _caller(request: Request) -> str:
    return place(request.client.host if request.client else None)


async def _body(request: Request) -> bytes:
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MOST:
                raise TooLarge(f"A hook takes {_MOST // 1024} KiB at most.", "body-too-large")
    except ClientDisconnect:
        raise Forbidden("The request broke off.", "hook-signature") from None
    return body


# ---- Twilio ----


async def _signed_form(request: Request, settings: Settings, charge: Callable[[str], Any]) -> Form:
    """Return the form, if Twilio has signed it with our token for the address that it knows us by."""
    body = await _body(request)
    query = request.scope["query_string"].decode("latin-1")
    url = settings.origin + request.scope["path"] + (f"?{query}" if query else "")
    try:
        form: Form = ImmutableMultiDict(parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=200))
    except ValueError:
        form = ImmutableMultiDict()
    token = settings.twilio_auth_token
    given = request.headers.get("x-twilio-signature", "")
    if token is None or not form or not RequestValidator(token.get_secret_value()).validate(url, form, given):
        await charge(_caller(request))
        text = "X-Twilio-Signature is not that of TWILIO_AUTH_TOKEN over this address (BASE_URL) and form."
        raise Forbidden(text, "hook-signature")
    return form


async def _twilio_status(tenant: Tenant, ref: str | None, form: Form) -> None:
    state, sid = _TWILIO.get(str(form.get("MessageStatus"))), str(form.get("MessageSid", ""))
    if state is None or not sid:
        return
    stopped = form.get("ErrorCode") == _OPTED_OUT
    why = None if state != "undelivered" else "opted-out" if stopped else "undelivered"
    if stopped:
        for address in await messages.addresses(tenant, ref, sid):
            await contacts.opt_out(tenant, address, "stop")
    await messages.receipt(tenant, ref, sid, state, why)


async def _answered(tenant: Tenant, form: Form) -> None:
    """Take an answer: STOP and START in their usual spellings, or as Twilio has understood them; other words are not kept."""
    sender, sid = str(form.get("From", "")), str(form.get("MessageSid", ""))
    word = str(form.get("OptOutType") or form.get("Body", "")).strip().strip(".!\"'").upper()
    if not sender or not sid or word not in _STOP | _START or not await contacts.first_time(tenant, sid):
        return
    address = contacts.address_key(tenant, "sms", sender)
    if word in _STOP:
        await contacts.opt_out(tenant, address, "stop")
    else:
        await contacts.opt_in(tenant, address)


# ---- SES ----


async def _ses_event(tenant: Tenant, text: str) -> None:
    """Take an event, of event publishing or of a feedback notification; what is not understood is left alone."""
    try:
        event = json.decode(text.encode())
    except FhirError:
        return
    if not isinstance(event, dict) or not isinstance(event.get("mail"), dict):
        return
    kind = event.get("eventType") or event.get("notificationType")
    state, id_ = _SES.get(str(kind)), event["mail"].get("messageId")
    if state is None or not isinstance(id_, str):
        return
    ref = _ref(event["mail"])
    if kind == "Complaint" or (kind == "Bounce" and _permanent(event)):
        for address in await messages.addresses(tenant, ref, id_):
            await contacts.opt_out(tenant, address, str(kind).lower())
    await messages.receipt(tenant, ref, id_, state, "undelivered" if state == "undelivered" else None)


def _ref(mail: dict[str, Any]) -> str | None:
    tags = mail.get("tags")
    values = tags.get("clarity-ref") if isinstance(tags, dict) else None
    return values[0] if isinstance(values, list) and values and isinstance(values[0], str) else None


def _permanent(event: dict[str, Any]) -> bool:
    bounce = event.get("bounce")
    return isinstance(bounce, dict) and bounce.get("bounceType") == "Permanent"
