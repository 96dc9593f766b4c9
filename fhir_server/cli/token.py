"""`token`: an access token of the running instance, for whoever may read its keys."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from fhir_server.auth import labels, tokens
from fhir_server.auth.keys import MAX_TOKEN_SECONDS
from fhir_server.cli import instance, services
from fhir_server.cli.options import Data, Json, Port, fail, print_json, read_settings
from fhir_server.cli.tenant import TenantName, opened
from fhir_server.settings import Settings

Scope = Annotated[str, typer.Option("--scope", help="SMART scopes, separated by spaces, as in 'system/*.rs'.")]
Limited = Annotated[
    bool, typer.Option("--limited", help="Without what an operator sees beyond a client: labels and Consents count.")
]
Patient = Annotated[str | None, typer.Option("--patient", metavar="ID", help="Patient of patient/ scopes.")]
User = Annotated[str | None, typer.Option("--user", metavar="REF", help="Who is behind it, as in Practitioner/1.")]
Seconds = Annotated[
    int | None, typer.Option("--seconds", min=1, help=f"How long it holds, {MAX_TOKEN_SECONDS} at most.")
]


def token(
    *,
    scope: Scope,
    patient: Patient = None,
    user: User = None,
    seconds: Seconds = None,
    limited: Limited = False,
    tenant: TenantName = "default",
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Print an access token of the running instance on one line."""
    settings = read_settings(data, port)
    scope = scope if limited or patient or user else _of_operator(scope)
    holds = min(seconds or settings.token_seconds, MAX_TOKEN_SECONDS)
    try:
        with services.for_command(settings) as ready:
            text = asyncio.run(_mint(ready, tenant, scope, patient, user, holds))
    except (tokens.MintError, instance.AlreadyRuns, services.NothingThere) as error:
        fail(str(error))
    if as_json:
        print_json({"access_token": text, "token_type": "Bearer", "expires_in": holds, "scope": scope})
    else:
        sys.stdout.write(text + "\n")


def _of_operator(scope: str) -> str:
    """Return the scope with sight of everything, for whoever may read the keys keeps the records; others words say less."""
    plain = "system/" in scope and labels.WORD not in scope
    return f"{scope} {labels.WORD}{labels.ALL}" if plain else scope


async def _mint(settings: Settings, name: str, scope: str, patient: str | None, user: str | None, seconds: int) -> str:
    async with opened(settings, name) as tenant:
        return await tokens.mint(tenant, scope, patient=patient, user=user, seconds=seconds)
