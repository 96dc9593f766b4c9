"""`test`: everything that CI runs, on any machine: lint, format, types, import contracts, tests."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.table import Table

from fhir_server.cli.options import Data, Port, screen
from fhir_server.kit import clock
from fhir_server.settings import ROOT, environment

All = Annotated[bool, typer.Option("--all", help="Also the tests marked slow.")]
Args = Annotated[list[str] | None, typer.Argument(help="Arguments for pytest; with any, only pytest runs.")]
_BIN = Path(sys.executable).parent
_FEW = 3
"""So many tests that fail may have been disturbed by their neighbours; more are a fault."""
_TIMES = 3
_PLUGINS = ("tests.ci_skips", "tests.failed_names", "tests.spread")
_LINTS = {
    "ruff check": [str(_BIN / "ruff"), "check", "--no-cache", "."],
    "ruff format": [str(_BIN / "ruff"), "format", "--no-cache", "--check", "."],
    "import contracts": [str(_BIN / "lint-imports"), "--no-cache"],
    "mypy": [sys.executable, "-m", "mypy"],
    "smart apps": [sys.executable, "-m", "tests.apps.build"],
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one check ended."""

    name: str
    code: int
    seconds: float
    output: str = ""
    note: str = ""
    """What somebody should look at although it passed."""


def verify(*, args: Args = None, every: All = False, data: Data = None, port: Port = None) -> None:
    """Run lint, types, import contracts and tests; non-zero when anything fails.

    Up to three tests that fail beside the others are run three times alone. When they pass each time, they are named as
    unsteady and the run is green.
    """
    _ = data, port  # every command takes them; the tests make data folders and ports of their own
    outcomes = [] if args else _lints()
    outcomes.append(_pytest(args or [], every=every))
    table = Table("check", "seconds", "")
    for outcome in outcomes:
        verdict = "[green]ok[/green]" if outcome.code == 0 else f"[red]failed ({outcome.code})[/red]"
        table.add_row(outcome.name, f"{outcome.seconds:.1f}", verdict)
    screen.print(table)
    for outcome in outcomes:
        if outcome.code == 0 and outcome.note:
            screen.print(outcome.note, style="yellow", markup=False, soft_wrap=True)
    if any(outcome.code for outcome in outcomes):
        raise typer.Exit(1)


def _lints() -> list[Outcome]:
    outcomes = []
    with ThreadPoolExecutor(2) as pool:
        for outcome in pool.map(_captured, _LINTS, _LINTS.values()):
            outcomes.append(outcome)
            screen.print(f"{outcome.name}: {'ok' if outcome.code == 0 else 'failed'}", markup=False)
            if outcome.code:
                screen.print(outcome.output, markup=False, soft_wrap=True)
    return outcomes


def _captured(name: str, command: Sequence[str]) -> Outcome:
    began = clock.monotonic()
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603  our own tools
    return Outcome(name, done.returncode, clock.monotonic() - began, done.stdout + done.stderr)


def _pytest(args: Sequence[str], *, every: bool) -> Outcome:
    more = [] if every else ["-m", "not slow"]
    if not any(argument.startswith("-n") for argument in args):
        more += ["-n", "2", "--dist", "loadfile"]
    began = clock.monotonic()
    with TemporaryDirectory() as folder:
        failed = Path(folder) / "failed"
        code = _run([*args, *more], failed)
        names = failed.read_text("utf-8").splitlines() if failed.exists() else []
    note = ""
    if code == 1 and not args and 0 < len(names) <= _FEW:
        code = _alone(names)
        note = "" if code else "unsteady: " + ", ".join(names)
    return Outcome("tests", code, clock.monotonic() - began, note=note)


def _alone(names: Sequence[str]) -> int:
    """Run the few tests that failed with nothing beside them, as often as shows that they pass: one failure is a failure."""
    screen.print(f"Once more alone, {_TIMES} times: {', '.join(names)}", markup=False, soft_wrap=True)
    codes = (_run([*names, "-n", "0"], None) for _ in range(_TIMES))
    return next((code for code in codes if code), 0)


def _run(args: Sequence[str], failed: Path | None) -> int:
    plugins = [word for name in _PLUGINS for word in ("-p", name)]
    more = {"CLARITY_FAILED_TESTS": str(failed)} if failed else {}
    env = environment(
        PYTHONDONTWRITEBYTECODE="", **more
    )  # compiled once, not in each of the many processes of the tests
    return subprocess.run([sys.executable, "-m", "pytest", *plugins, *args], cwd=ROOT, check=False, env=env).returncode  # noqa: S603
