"""The command line: one typer application, one module a command, each imported when it is asked for by name."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from types import MappingProxyType

import typer

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "up": ("up", "up"),
        "serve": ("up", "serve"),
        "worker": ("up", "worker"),
        "load": ("load", "load"),
        "ingest": ("ingest", "ingest"),
        "token": ("token", "token"),
        "clients": ("clients", "app"),
        "users": ("users", "app"),
        "letters": ("letters", "app"),
        "events": ("events", "app"),
        "messages": ("messages", "app"),
        "doctor": ("doctor", "doctor"),
        "bench": ("bench", "bench"),
        "twin": ("twin", "app"),
        "models": ("models", "app"),
        "rules": ("rules", "app"),
        "conformance": ("conformance", "conformance"),
        "deidentify": ("deidentify", "deidentify"),
        "test": ("verify", "verify"),
    }
)
"""Name of the command: its module here, and the function (or typer application) in it."""


def application(wanted: str | None) -> typer.Typer:
    """Return the application with one command, or with all when `wanted` names none."""
    app = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        help="Clarity: a FHIR R4 server whose resident is a psychiatric digital twin. Start with [bold]./clarity up[/bold].",
    )
    app.callback()(lambda: None)  # keeps a single command a command, so that its name stays in the arguments
    for name, (module, attribute) in COMMANDS.items():
        if wanted in (None, name):
            found = getattr(importlib.import_module(f"fhir_server.cli.{module}"), attribute)
            app.add_typer(found, name=name) if isinstance(found, typer.Typer) else app.command(name)(found)
    return app


def main() -> None:
    """Run the command that the arguments name."""
    named = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    try:
        application(named if named in COMMANDS else None)(prog_name="clarity")
    except KeyboardInterrupt:  # Ctrl-C while modules are imported: typer does not run yet
        sys.exit(130)
