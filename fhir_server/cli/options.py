"""What every command takes, and how it ends: exit 0 done, 1 went wrong, 2 was asked wrongly."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from pydantic import ValidationError
from rich.console import Console

from fhir_server import settings
from fhir_server.kit import json

Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Data folder; default .clarity/data.")]
Port = Annotated[int | None, typer.Option("--port", metavar="N", min=1, max=65535, help="Port; default 8000.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]

screen = Console(stderr=True, highlight=False)
"""Progress and complaints: never mixed with what a program reads."""
results = Console(highlight=False)
"""What was asked for."""


def read_settings(data: Path | None, port: int | None, **more: Any) -> settings.Settings:
    """Return the settings with what the command line says; end with their problems if there are any."""
    try:
        read = settings.load(data=data.resolve() if data else None, port=port, **more)
    except ValidationError as error:
        fail("\n".join(misread(error)), code=2)
    if problems := read.problems():
        fail("\n".join(problems), code=2)
    return read


def misread(error: ValidationError) -> list[str]:
    """Return what is wrong with settings that cannot be read, never with their values: they may be secrets."""
    return [f"{str(part['loc'][0]).upper()}: {part['msg'].removeprefix('Value error, ')}" for part in error.errors()]


def fail(sentence: str, *, code: int = 1) -> NoReturn:
    """Say what went wrong and how to mend it, and end."""
    screen.print(sentence, style="red", markup=False, soft_wrap=True)
    raise typer.Exit(code)


def print_json(value: Any) -> None:
    """Print one JSON value on one line."""
    sys.stdout.write(json.encode(value).decode() + "\n")
