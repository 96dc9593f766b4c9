"""`doctor`: the settings, masked, what is wrong with the installation, and how to mend it."""

from __future__ import annotations

import asyncio
import importlib.metadata
import shutil
import stat
import tomllib
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.table import Column, Table

from fhir_server import settings as room
from fhir_server.cli import instance, probe
from fhir_server.cli.options import Data, Json, Port, misread, print_json, results, screen
from fhir_server.settings import ROOT, Settings

AsTable = Annotated[bool, typer.Option("--table", help="Print the table of docs/settings.md and nothing else.")]
_FREE_MIB = 2048


def doctor(*, table: AsTable = False, as_json: Json = False, data: Data = None, port: Port = None) -> None:
    """Print the settings, masked, with what is wrong and how to mend it."""
    if table:
        typer.echo(settings_table(), nl=False)
        return
    try:
        settings = room.load(data=data.resolve() if data else None, port=port)
        rows, problems = (
            list(_rows(settings)),
            [
                *settings.problems(),
                *probe.of_tenants(settings),
                *_of_place(settings),
                *_of_services(settings),
                *_of_models(settings),
                *_of_language_model(settings),
                *_of_blobs(settings),
            ],
        )
    except ValidationError as error:
        rows, problems = [], [f"{sentence}." for sentence in misread(error)]
    problems += _of_packages()
    if as_json:
        print_json({"settings": rows, "problems": problems})
    else:
        _show(rows, problems)
    if problems:
        raise typer.Exit(1)


def settings_table() -> str:
    """Return docs/settings.md's table: name, default, meaning."""
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = field.default
        shown = "" if default is None else ",".join(default) if isinstance(default, list) else str(default)
        shown = shown.replace(f"{ROOT}/", "")
        lines.append(f"| `{_variable(name)}` | {f'`{shown}`' if shown else ''} | {field.description} |")
    return "\n".join(lines) + "\n"


def _show(rows: list[dict[str, Any]], problems: list[str]) -> None:
    table = Table(Column("setting", no_wrap=True), "value", "meaning")
    for row in rows:
        table.add_row(row["name"], row["value"], row["meaning"])
    results.print(table)
    for problem in problems:
        screen.print(f"✗ {problem}", style="red", markup=False, soft_wrap=True)
    if not problems:
        screen.print("[green]✓[/green] nothing is wrong")


def _rows(settings: Settings) -> Iterator[dict[str, Any]]:
    for name, field in Settings.model_fields.items():
        value = probe.masked(getattr(settings, name))
        yield {
            "name": _variable(name),
            "value": value,
            "set": name in settings.model_fields_set,
            "meaning": field.description,
        }


def _variable(name: str) -> str:
    return "CLARITY_DATA" if name == "data" else name.upper()


def _of_place(settings: Settings) -> Iterator[str]:
    """Yield what is wrong with the data folder: who may read the keys, how much room is left."""
    for secret in (settings.data / "jwt_secret_key", settings.keys_dir):
        if secret.exists() and stat.S_IMODE(secret.stat().st_mode) & 0o077:
            yield f"{secret} may be read by others: chmod go= {secret}"
    if text := probe.of_folder(settings.data):
        yield text
    there = next(folder for folder in (settings.data, *settings.data.parents) if folder.exists())
    free = shutil.disk_usage(there).free >> 20
    if free < _FREE_MIB:
        yield f"{there} has {free} MiB left: PostgreSQL's log alone may take 4 GiB, make room or set CLARITY_DATA."
    if not (settings.data / "postgres").exists() and settings.data.exists() and settings.database_url is None:
        yield f"{settings.data} holds no database yet: `./clarity up` makes it."


def _of_models(settings: Settings) -> list[str]:
    """Return what is wrong with the models that settings name: cards, digests, formats."""
    from workers.ml.registry import shelf

    return shelf.problems(settings)


def _of_language_model(settings: Settings) -> Iterator[str]:
    """Yield why notes are drafted by rules although an endpoint is set: what the gateway would refuse, roles without a model."""
    from workers.gateway.endpoint import endpoint_of
    from workers.gateway.errors import NotConfigured

    if settings.openai_api_key is None and not settings.openai_base_url:
        return
    try:
        endpoint_of(settings).model("clinical")
    except NotConfigured as error:
        yield f"{error} Until then notes are drafted by rules."


def _of_blobs(settings: Settings) -> list[str]:
    """Return what is wrong with the bucket for large content: something is put there, read and deleted."""
    return asyncio.run(probe.of_bucket(settings)) if settings.s3_bucket else []


def _of_packages() -> Iterator[str]:
    """Yield the packages whose installed version is not the pinned one."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for pin in project["dependencies"]:
        name, _, wanted = pin.partition("==")
        name = name.partition("[")[0]
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "not installed"
        if found != wanted:
            yield f"{name} is {found}, wanted {wanted}: delete .venv, then run ./clarity doctor again."


def _of_services(settings: Settings) -> list[str]:
    """Return what is wrong with the database and Redis that would be used now, and what was left undone there."""
    there = instance.running(settings.data)
    database = settings.database_url or (there.database_url if there else None)
    redis = settings.redis_url or (there.redis_url if there else None)
    problems = asyncio.run(probe.of_services(database, redis))
    return problems + asyncio.run(probe.of_work(database, settings.tenants)) if database is not None else problems
