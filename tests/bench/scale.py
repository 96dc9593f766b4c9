"""Searches over a million: fifty shapes, one client, counts asserted; written to `docs/conformance/search-speed.md`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from urllib.parse import quote

import asyncpg

from fhir_server.cli.options import screen
from fhir_server.cli.tenant import opened
from fhir_server.kit import json
from fhir_server.settings import ROOT
from tests.bench import million
from tests.bench.client import Connection, Measured, connections, request, timed
from tests.bench.rig import Rig
from tests.bench.shapes import PAGE, SHAPES, Shape

SIZES = (100_000, 1_000_000)
TIMES = 60
WARM = 5
REPORT = ROOT / "docs" / "conformance" / "search-speed.md"

Json = dict[str, Any]


@dataclass(slots=True)
class Expected:
    """How many resources each shape means, by the patient it is asked for."""

    found: dict[tuple[str, str], int] = field(default_factory=dict)
    people: dict[str, set[str]] = field(default_factory=dict)

    def see(self, resource: Json) -> Json:
        """Count a resource where it is meant, and hand it on."""
        own = resource.get("subject", {}).get("reference", "").removeprefix("Patient/")
        for shape in SHAPES:
            patient = own if "{p}" in shape.query else ""
            about = shape.of or shape.type
            if about == resource["resourceType"] and patient in shape.patients and shape.naive(resource, patient):
                self._note(shape, patient, own)
        return resource

    def _note(self, shape: Shape, patient: str, own: str) -> None:
        at = shape.query, patient
        if shape.of:
            self.people.setdefault(shape.query, set()).add(own)
            self.found[at] = len(self.people[shape.query])
        else:
            self.found[at] = self.found.get(at, 0) + 1

    def of(self, shape: Shape, patient: str) -> int:
        """Return how many there are."""
        return self.found.get((shape.query, patient), 0)


async def measure(rig: Rig, sizes: Sequence[int] = SIZES) -> dict[str, Any]:
    """Return the percentiles of each shape at each size, smallest first."""
    expected, done, found = Expected(), 0, {}
    async with opened(rig.settings, "default") as tenant:
        await million.load(tenant, map(expected.see, million.clinic()))
        for size in sorted(sizes):
            await million.load(tenant, (expected.see(million.observation(n)) for n in range(done, size)))
            done = size
            screen.print(f"bench: {size} Observations are there …")
            await _settle(rig)
            found[str(size)] = await shapes(rig.port, await rig.token("system/*.rs"), expected)
    return found


async def _settle(rig: Rig) -> None:
    """Do at once what autovacuum does within a minute."""
    connection = await asyncpg.connect(rig.dsn)
    await connection.execute("VACUUM ANALYZE")
    await connection.close()


async def shapes(port: int, token: str, expected: Expected, times: int = TIMES) -> dict[str, Any]:
    """Return how long each shape takes one client."""
    found: dict[str, Any] = {}
    async with connections(port, 1) as (connection,):
        for shape in SHAPES:
            measured = await _one(connection, token, shape, expected, times)
            found[_title(shape)] = {
                "p50_ms": _ms(measured, 50),
                "p95_ms": _ms(measured, 95),
                "p99_ms": _ms(measured, 99),
            }
    return found


def _title(shape: Shape) -> str:
    return f"{shape.type}?{shape.query}"


def _ms(measured: Measured, percent: int) -> float:
    return round(measured.percentile(percent), 2)


async def _one(connection: Connection, token: str, shape: Shape, expected: Expected, times: int) -> Measured:
    measured, ignored = Measured(), Measured()
    for turn in range(WARM + times):
        patient = shape.patients[turn % len(shape.patients)]
        path = quote(_title(shape).replace("{p}", patient), safe="/?&=:$,-") + f"&_count={PAGE}"
        answer = await timed(connection, request("GET", f"/fhir/{path}", token), measured if turn >= WARM else ignored)
        assert answer.status == 200, (path, answer.body[:500])
        _check(shape, json.decode_trusted(answer.body), expected.of(shape, patient))
    return measured


def _check(shape: Shape, bundle: Json, wanted: int) -> None:
    """Raise AssertionError unless a page, or a total, says what is there."""
    if shape.counts:
        assert bundle["total"] == wanted, (shape.query, bundle["total"], wanted)
    if "_summary=count" not in shape.query:
        assert len(bundle.get("entry", ())) == min(wanted, PAGE), (shape.query, len(bundle.get("entry", ())), wanted)


# ---- the report ----


def report(found: dict[str, Any], machine: dict[str, Any]) -> str:
    """Return the page of docs/conformance."""
    sizes = sorted(found, key=int)
    slow = sum(figures["p99_ms"] > 100 for figures in found[sizes[-1]].values())
    head = " | ".join(f"{int(size):,} p50 | p95 | p99" for size in sizes)
    lines = [
        "# Searches at a million",
        "",
        "Written by `./clarity bench scale`: Observations of 2,000 patients, one client, a page of 20, milliseconds over HTTP with",
        "policy and audit; what each search must find is worked out a second time in Python and asserted.",
        "",
        f"{len(SHAPES) - slow} of {len(SHAPES)} searches stay within 100 ms (p99) at {int(sizes[-1]):,}.",
        f"{machine['cores']} cores, load average before {machine['load_average_before']}.",
        "",
        f"| search | {head} |",
        "|---|" + "--:|" * (3 * len(sizes)),
    ]
    for title in (_title(shape) for shape in SHAPES):
        figures = [found[size][title] for size in sizes]
        row = " | ".join(f"{each['p50_ms']} | {each['p95_ms']} | {each['p99_ms']}" for each in figures)
        lines.append(f"| `{title.replace('|', chr(92) + '|')}` | {row} |")
    return "\n".join(lines) + "\n"


def naive(size: int) -> Expected:
    """Return what the shapes mean over a ward of a size, without a database."""
    expected = Expected()
    for resource in chain(million.clinic(), map(million.observation, range(size))):
        expected.see(resource)
    return expected
