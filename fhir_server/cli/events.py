"""`events`: what was committed and could not be acted on, and acting on it after all."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from fhir_server.cli.options import Data, Json, Port, print_json, read_settings, results
from fhir_server.cli.tenant import TenantName, with_tenant
from fhir_server.storage import aside

app = typer.Typer(
    no_args_is_help=True, help="List changes whose consequences failed and were set aside, and have them tried again."
)

Ids = Annotated[list[int] | None, typer.Argument(metavar="ID", help="As `list` shows it; all when not given.")]


@app.command("list")
def list_events(*, tenant: TenantName = "default", as_json: Json = False, data: Data = None, port: Port = None) -> None:
    """List what was set aside: which consequence of which change, and the class of the error."""
    found = [each.told() for each in with_tenant(read_settings(data, port), tenant, aside.listed)]
    if as_json:
        print_json(found)
        return
    table = Table("id", "change", "consequence", "error", "set aside", "tried again")
    for each in found:
        names = ("id", "change", "consequence", "error", "set_aside")
        table.add_row(*(str(each[name]) for name in names), "soon" if each["again"] else "")
    results.print(table)


@app.command("replay")
def replay(
    wanted: Ids = None,
    *,
    tenant: TenantName = "default",
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Have it tried again by a worker, once the cause is mended; what fails again stays in the list."""
    count = with_tenant(read_settings(data, port), tenant, lambda of: aside.replay(of, wanted or None))
    if as_json:
        print_json({"replayed": count})
    else:
        results.print(f"{count} will be tried again.")
