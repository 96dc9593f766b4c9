"""All measurements in one run over one instance: the object that `./clarity bench --json` prints."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import uvloop
from asyncpg import PostgresError

from fhir_server.cli.bench import PARTS
from fhir_server.cli.options import screen
from fhir_server.kit import json
from fhir_server.settings import ROOT
from tests.bench import (
    access,
    consents,
    create,
    draft,
    fhirpath,
    imports,
    ingest,
    loop,
    mix,
    pat,
    predictions,
    rules,
    scale,
    search,
    stages,
    storage,
    subscriptions,
    twin,
    xml,
)
from tests.bench.client import connections, request
from tests.bench.ingest import Load
from tests.bench.rig import Rig, machine, rig

SYNTHEA = ROOT.parent / "shared" / "data" / "synthea-120"
FAILED = "failed"
Json = dict[str, Any]


def run(
    parts: tuple[str, ...] = PARTS, synthea: Path = SYNTHEA, sizes: tuple[int, ...] = (), load: Load | None = None
) -> Json:
    """Measure the parts; what was not measured (no data set, not asked for) is null."""
    with rig() as made:
        details: Json = {"machine": {**machine(made.folder), "web_processes": made.settings.processes}}
        for name, part in _measurements(made, details, synthea).items():
            if name in parts:
                screen.print(f"bench: {name} …")
                details[name] = _guarded(part)
    if "scale" in parts:  # in a database of its own: what others have left there would be found too
        details["scale"] = _scale(sizes or scale.SIZES)
    if "ingest" in parts:  # in one of its own: nobody else's work stands in the way of its twins
        details["ingest"] = _ingest(load or Load())
    if "fhirpath" in parts:
        details["fhirpath"] = fhirpath.measure()
    if "xml" in parts:
        details["xml"] = xml.measure()
    if "pat" in parts:
        details["pat"] = pat.measure()
    return _object(details)


def _scale(sizes: tuple[int, ...]) -> Any:
    """Measure searches over so many Observations, and write the report when these are the sizes that it is about."""
    with rig() as made:
        where = machine(made.folder)
        found = _guarded(lambda: scale.measure(made, sizes))
    if sizes == scale.SIZES and FAILED not in found:
        scale.REPORT.write_text(scale.report(found, where))
    return found


def _ingest(load: Load) -> Any:
    """Measure a hub's stream."""
    with rig() as made:
        return {"machine": machine(made.folder)} | _guarded(lambda: ingest.measure(made, load))


def _guarded(part: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    """Measure one part; when it fails, the others still count, and what it failed with stands in its place."""
    try:
        return uvloop.run(part())
    except (AssertionError, OSError, PostgresError) as error:
        screen.print(f"bench: failed: {error!r}", style="red", markup=False, soft_wrap=True)
        return {FAILED: repr(error)[:1000]}


def _measurements(made: Rig, details: Json, synthea: Path) -> dict[str, Callable[[], Coroutine[Any, Any, Any]]]:
    """Return the measurements in order: creates first, then the import, whose data searches and sizes are taken of."""
    found: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
        "create": lambda: create.measure(made),
        "stages": lambda: stages.measure(made, details.get("create", {}).get("create_alone", {}).get("p50_ms")),
        "entries": lambda: _entries(made),
        "access": lambda: access.measure(made),
        "consents": lambda: consents.measure(made),
        "draft": lambda: draft.measure(made),
        "twin": lambda: twin.measure(made),
        "rules": lambda: rules.measure(made),
        "predictions": lambda: predictions.measure(made),
    }
    found["subscriptions"] = lambda: subscriptions.measure(made)
    if synthea.exists():
        found |= {
            "loop": lambda: loop.measure(made, synthea),
            "import": lambda: imports.measure(made, synthea),
            "search": lambda: search.measure(made),
            "mix": lambda: mix.measure(made),
            "storage": lambda: storage.bytes_a_resource(made),
        }
    return found


def _waits(found: Json | None) -> str | None:
    """Return p50 and p99 as the table shows them."""
    return f"p50 {found['p50_ms']}, p99 {found['p99_ms']}" if found else None


async def _entries(made: Rig) -> dict[str, int]:
    token = await made.token()
    (patient,) = await create.make_patients(made, token, 1)
    body = json.encode(create.observation(patient, 1))
    async with connections(made.port, 1) as (connection,):
        answer = await connection.send(request("POST", "/fhir/Observation", token, body))
    return await storage.index_entries(made, json.decode_trusted(answer.body)["id"])


def _object(details: Json) -> Json:
    entries, micro = details.get("entries"), details.get("stages")
    return {
        "create_ratio": details.get("create", {}).get("ratio"),
        "loop_rps": details.get("loop", {}).get("rps"),
        "import_rps": details.get("import", {}).get("rps"),
        "search_p50_ms": details.get("search", {}).get("p50_ms"),
        "search_mix_rps": details.get("mix", {}).get("rps"),
        "bytes_per_resource": details.get("storage", {}).get("bytes"),
        "index_entries_observation": sum(entries.values()) if entries and FAILED not in entries else None,
        "fhirpath_times_faster": fhirpath.middle(details["fhirpath"]) if "fhirpath" in details else None,
        "pat_week_ms": details.get("pat", {}).get("week_ms"),
        "predictions_night_s": details.get("predictions", {}).get("thousand_on_two_workers_s"),
        "rules_patients_per_s": details.get("rules", {}).get("patients_per_s"),
        "ingest_per_s": details.get("ingest", {}).get("accepted_per_s"),
        "ingest_mib_per_100000": details.get("ingest", {}).get("web_mib", {}).get("second_half_per_100000"),
        "draft_s": details.get("draft", {}).get("p50_s"),
        "match_ms": details.get("subscriptions", {}).get("alone_ms"),
        "told_ms": _waits(details.get("subscriptions", {}).get("delivery")),
        "told_beside_bundles_ms": _waits(details.get("subscriptions", {}).get("delivery_beside_bundles")),
        "stages": None if micro and FAILED in micro else micro,
        "details": details,
    }
