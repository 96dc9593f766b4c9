"""`letters`: notifications that were given up, and sending them after all."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from fhir_server.cli.options import Data, Json, Port, fail, print_json, read_settings, results
from fhir_server.cli.tenant import TenantName, with_tenant
from fhir_server.kit.clock import instant
from fhir_server.storage.ident import known_rid
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import letters as store
from fhir_server.subscriptions.letters import Letter

app = typer.Typer(no_args_is_help=True, help="List notifications that were given up, and let them be sent after all.")

Subscription = Annotated[str, typer.Argument(metavar="ID", help="The Subscription's id.")]
Since = Annotated[int | None, typer.Option("--since", min=0, help="The first event number; all when not given.")]
Until = Annotated[int | None, typer.Option("--until", min=0, help="The last event number.")]


@app.command("list")
def list_letters(
    *, tenant: TenantName = "default", as_json: Json = False, data: Data = None, port: Port = None
) -> None:
    """List what was given up, of every Subscription."""
    found = with_tenant(read_settings(data, port), tenant, store.dead)
    if as_json:
        print_json([_shown(letter) for letter in found])
        return
    table = Table("subscription", "event", "attempts", "last status", "given up")
    for letter in found:
        status = str(letter.last_status or "no answer")
        table.add_row(letter.subscription, str(letter.event), str(letter.attempts), status, instant(letter.given_up))
    results.print(table)


@app.command("replay")
def replay(
    subscription: Subscription,
    *,
    since: Since = None,
    until: Until = None,
    tenant: TenantName = "default",
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Let what was given up wait again: it is sent in its order once the Subscription is active."""

    async def again(of: Tenant) -> int | None:
        rid = await known_rid(of, "Subscription", subscription)
        return None if rid is None else await store.replay(of, rid, since, until)

    count = with_tenant(read_settings(data, port), tenant, again)
    if count is None:
        fail(f"There is no Subscription {subscription!r}; `clarity letters list` shows those that something waits for.")
    if as_json:
        print_json({"replayed": count})
    else:
        results.print(f"{count} will be sent again.")


def _shown(letter: Letter) -> dict[str, Any]:
    return {
        "subscription": letter.subscription,
        "event": letter.event,
        "attempts": letter.attempts,
        "last_status": letter.last_status,
        "given_up": instant(letter.given_up),
    }
