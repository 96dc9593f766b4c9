"""`deidentify`: made-up notes through the de-identification of the gateway; how much of what is in them it finds."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fhir_server.cli.options import Data, Json, Port, fail, print_json
from fhir_server.settings import ROOT

PAGE = ROOT / "docs" / "deidentification.md"
_HEAD = "<!-- table -->\n"
NOTES = 2000
Notes = Annotated[int, typer.Option(help="How many notes.", min=4, max=100_000)]
Seed = Annotated[int | None, typer.Option(help="Of the notes; the same seed makes the same notes.")]
Write = Annotated[bool, typer.Option("--write", help="Also put the table into docs/deidentification.md.")]


def deidentify(
    *,
    notes: Notes = NOTES,
    seed: Seed = None,
    write: Write = False,
    as_json: Json = False,
    data: Data = None,
    port: Port = None,
) -> None:
    """Measure recall for each of the 18 classes of HIPAA's Safe Harbor, and precision."""
    from workers.gateway.corpus.measure import SEED, measure, table

    _ = data, port  # every command takes them; this one needs no running instance
    found = measure(notes, SEED if seed is None else seed)
    if as_json:
        classes = {letter: [count.found, count.all] for letter, count in found.classes.items()}
        print_json({"classes": classes, "known": [found.known.found, found.known.all], "leaks": found.leaks})
    else:
        typer.echo(table(found))
    for letter, known, value, around in [] if as_json else found.leaks:
        where = "of the record" if known else "unknown to the record"
        print(f"leaked ({letter}, {where}): {value!r} in {around!r}", file=sys.stderr)
    if write:
        before, _, _ = PAGE.read_text(encoding="utf-8").partition(_HEAD)
        PAGE.write_text(f"{before}{_HEAD}{table(found)}", encoding="utf-8")
    if found.known.found < found.known.all:
        fail("Something that the record holds was not replaced.")
