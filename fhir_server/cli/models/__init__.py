"""`models`: which there are, what they are worth, and how they are made. Sub-commands are a table, each a file of its own."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import typer

COMMANDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "list": ("shelf", "models"),
        "show": ("shelf", "show"),
        "check": ("check", "check"),
        "evaluate": ("evaluate", "evaluate"),
        "import": ("import_h5", "import_h5"),
        "export": ("export", "export"),
    }
)
"""Name of the sub-command: its module here, and the function in it."""

TRAINERS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "pat": ("train_pat", "train"),
        "xgboost": ("train_xgboost", "train"),
        "lstm": ("train_lstm", "train"),
    }
)
"""Below `models train`: what is trained, its module here, the function in it."""


def _application() -> typer.Typer:
    """Return the sub-commands; of `train`, which needs the extra `models`, only the one that is asked for."""
    made = typer.Typer(no_args_is_help=True, help="Models: which there are, what they are worth, how they are made.")
    words = [word for word in sys.argv[1:] if not word.startswith("-")]
    for name, where in COMMANDS.items():
        if len(words) < 2 or words[1] not in COMMANDS or words[1] == name:
            made.command(name)(_function(where))
    trainers = typer.Typer(no_args_is_help=True, help="Make a checkpoint and its card.")
    for name, where in TRAINERS.items():
        if len(words) < 2 or words[1] not in COMMANDS:
            trainers.command(name)(_function(where))
    trainers.callback()(lambda: None)
    made.add_typer(trainers, name="train")
    made.callback()(lambda: None)
    return made


def _function(where: tuple[str, str]) -> Callable[..., Any]:
    module, attribute = where
    found: Callable[..., Any] = getattr(importlib.import_module(f"fhir_server.cli.models.{module}"), attribute)
    return found


app = _application()
