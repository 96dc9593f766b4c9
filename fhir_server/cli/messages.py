"""`messages`: what waits and what was given up, a test message, contact points that an administrator vouches for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

import typer
from rich.table import Table

from fhir_server.cli.options import Data, Json, Port, fail, print_json, read_settings, results
from fhir_server.cli.tenant import TenantName, with_tenant
from fhir_server.kit import clock, ids
from fhir_server.kit.clock import instant
from fhir_server.storage import contacts, ident
from fhir_server.storage import messages as store
from fhir_server.storage.messages import Message
from fhir_server.storage.tenants import Tenant
from workers.messages import holders, templates
from workers.messages.contact import channel_of, normal
from workers.messages.port import Channel, Failed
from workers.messages.transports import transports

app = typer.Typer(
    no_args_is_help=True, help="Messages to people: what waits, what was given up, who may be written to."
)

OPEN = ("waiting", "sending", "unknown", "dead")
To = Annotated[
    str, typer.Option("--to", metavar="ADDRESS", help="A number with its country (+49...), or a mail address.")
]
States = Annotated[
    list[str] | None, typer.Option("--state", help="Of this state; may be repeated. Usual: what is open.")
]


@app.command("list")
def list_messages(
    *,
    state: States = None,
    tenant: TenantName = "default",
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """List messages that wait, are under way, may have been sent, or were given up."""

    async def look(of: Tenant) -> list[dict[str, Any]]:
        found = await store.listed(of, state or OPEN)
        known = await ident.names(of, {row.communication for row in found})
        return [_shown(row, "/".join(known.get(row.communication, ("", "")))) for row in found]

    found = with_tenant(read_settings(data, port), tenant, look)
    if as_json:
        print_json(found)
        return
    table = Table("ref", "communication", "state", "why", "by", "attempts", "next look")
    for each in found:
        names = ("ref", "communication", "state", "why", "transport", "attempts", "next")
        table.add_row(*(str(each[name] or "") for name in names))
    results.print(table)


def _shown(row: Message, communication: str) -> dict[str, Any]:
    return {
        "ref": row.ref,
        "communication": communication,
        "state": row.state,
        "why": row.why,
        "transport": row.transport,
        "attempts": row.attempts,
        "created": instant(row.created_at),
        "next": instant(row.next_at) if row.state == "waiting" else None,
    }


@app.command("retry")
def retry(
    ref: Annotated[str, typer.Argument(metavar="REF", help="As `list` shows it.")],
    *,
    tenant: TenantName = "default",
    data: Data = None,
    port: Port = None,
) -> None:
    """Let a message that was given up be tried again."""
    if not with_tenant(read_settings(data, port), tenant, lambda of: store.again(of, ref)):
        fail(f"There is no message {ref!r} that was given up; `clarity messages list --state dead` shows them.")
    results.print("It will be tried again.")


@app.command("send-test")
def send_test(
    *, to: To, tenant: TenantName = "default", as_json: Json = False, data: Data = None, port: Port = None
) -> None:
    """Send a message that says nothing, to see whether a provider is set up rightly."""
    settings = read_settings(data, port)
    channel, value = _address(to)
    way = transports(settings, f"{settings.origin}/fhir").get(channel)
    if way is None:
        names = {"sms": "TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and TWILIO_FROM", "email": "SES_FROM or SMTP_URL"}
        fail(f"No provider for {channel} is set up: set {names[channel]} (docs/messages.md).")
    said = templates.Said("notice", settings.origin)
    try:
        id_ = asyncio.run(way.send(templates.render(ids.new_id(), value, channel, said)))
    except Failed as error:
        fail(
            f"{way.name} has not taken it ({type(error).__name__.lower()}: {error.reason}); docs/messages.md says more."
        )
    if as_json:
        print_json({"transport": way.name, "id": id_, "tenant": tenant})
    else:
        results.print(f"{way.name} has taken it as {id_}.")


def _address(text: str) -> tuple[Channel, str]:
    channel = channel_of(text)
    value = normal(channel, text)
    if value is None:
        fail(f"{text!r} is no number with its country (+4930123456) and no mail address.", code=2)
    return channel, value


@app.command("verify")
def verify(
    person: Annotated[str, typer.Argument(metavar="TYPE/ID", help="Such as Practitioner/123.")],
    *,
    to: To,
    tenant: TenantName = "default",
    data: Data = None,
    port: Port = None,
) -> None:
    """Vouch for a contact point that stands in a person's resource: messages may go there."""
    settings = read_settings(data, port)
    channel, value = _address(to)

    async def vouch(of: Tenant) -> bool:
        found = await holders.holder(of, person, clock.now(), settings.canonical_base)
        key = contacts.address_key(of, channel, value)
        if found is None or key not in holders.keys(of, found.usable()):
            return False
        await contacts.verify(of, found.rid, key, channel, "administrator")
        return True

    if not with_tenant(settings, tenant, vouch):
        fail(f"{person} has no such contact point for messages: put it into its telecom first.")
    results.print("Messages may go there.")


@app.command("opt-out")
def opt_out(*, to: To, tenant: TenantName = "default", data: Data = None, port: Port = None) -> None:
    """Send no more messages to an address, whosever it is."""
    _change(data, port, tenant, to, lambda of, key: contacts.opt_out(of, key, "administrator"))
    results.print("Nothing goes there any more.")


@app.command("opt-in")
def opt_in(*, to: To, tenant: TenantName = "default", data: Data = None, port: Port = None) -> None:
    """Let messages go to an address again, when its owner wishes that."""
    _change(data, port, tenant, to, contacts.opt_in)
    results.print("Messages may go there again.")


def _change(data: Any, port: Any, tenant: str, to: str, change: Callable[[Tenant, int], Awaitable[None]]) -> None:
    channel, value = _address(to)
    with_tenant(read_settings(data, port), tenant, lambda of: change(of, contacts.address_key(of, channel, value)))
