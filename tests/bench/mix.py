"""The search mix of HealthSamurai's suite over Synthea, values as meant, what each search finds asserted.

Thirty connections, a page of twenty, one random query of the pool after the other. The pool has every parameter, prefix and
modifier of the suite, with its values where it names them, else with harvested ones. What a query finds is worked out by the naive
reading of `tests/search` over all resources as they are read back from the server.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any
from urllib.parse import quote

import httpx

from fhir_server.kit import json
from tests.bench.client import Connection, Measured, closed_loop, request, timed
from tests.bench.rig import Rig
from tests.search.naive import accepts, cut, matches
from tests.search.naive_paths import definition, values

CONNECTIONS = 30
SECONDS = 10.0
PAGE = 20
EACH = 3
"""How many values are asked for with each prefix or modifier."""
ORDERED = ("", "eq", "lt", "gt", "ge", "le")

Json = dict[str, Any]
Harvest = Callable[[Any], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Ask:
    """A parameter, how it is asked, and for which values (those harvested from what is there when none are named)."""

    group: str
    type: str
    param: str
    values: tuple[str, ...] = ()
    modifiers: tuple[str, ...] = ("",)
    prefixes: tuple[str, ...] = ("",)


@dataclass(frozen=True, slots=True)
class Query:
    """One query of the pool, and how many resources it means."""

    group: str
    path: str
    found: int


_LOINC = "http://loinc.org"
_CATEGORIES = "http://terminology.hl7.org/CodeSystem/observation-category"
_DATES = (*ORDERED, "sa", "eb")
_NUMBERS = ("99999", "170", "80", "30", "100", "140", "200")
ASKS: tuple[Ask, ...] = (
    Ask("string", "Patient", "name", modifiers=("", ":contains")),
    Ask("string", "Patient", "address", modifiers=("", ":contains")),
    Ask("string", "Organization", "name", modifiers=("", ":contains")),
    Ask("date", "Patient", "birthdate", prefixes=_DATES),
    Ask("date", "Observation", "date", prefixes=_DATES),
    Ask("date", "Encounter", "date", prefixes=_DATES),
    Ask(
        "token",
        "Observation",
        "category",
        (
            "vital-signs",
            f"{_CATEGORIES}|laboratory",
            "survey,social-history",
            "laboratory,vital-signs,survey",
            "imaging",
        ),
    ),
    Ask(
        "token",
        "Observation",
        "code",
        ("8302-2", "29463-7", "8480-6", "8867-4", f"{_LOINC}|8302-2", "39156-5,72514-3", "718-7"),
    ),
    Ask("token", "Encounter", "status", ("finished", "planned", "arrived,finished", "in-progress")),
    Ask("token", "Encounter", "class", ("AMB", "EMER", "IMP", "WELLNESS", "AMB,EMER", "VR")),
    Ask("quantity", "Observation", "value-quantity", _NUMBERS, prefixes=ORDERED),
    Ask("quantity", "Observation", "component-value-quantity", ("99999", "120", "80", "140", "90"), prefixes=ORDERED),
    Ask("quantity", "Observation", "combo-value-quantity", ("99999", "120", "170", "80", "100"), prefixes=ORDERED),
    Ask(
        "composite",
        "Observation",
        "code-value-quantity",
        ("8867-4$gt100", "8302-2$gt170", f"{_LOINC}|39156-5$ge30", "29463-7$lt50", "718-7$le12"),
    ),
    Ask("composite", "Observation", "component-code-value-quantity", ("8480-6$gt140", "8462-4$lt60", "8480-6$ge120")),
    Ask("composite", "Observation", "combo-code-value-quantity", ("8480-6$gt140", "8302-2$gt170", "8462-4$lt60")),
    *(Ask("reference", "Observation", param) for param in ("subject", "encounter", "performer")),
    *(Ask("reference", "Encounter", param) for param in ("subject", "participant")),
    *(Ask("reference", "MedicationRequest", param) for param in ("subject", "encounter", "requester")),
)


# ---- values ----


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value.split(",")[0]
    elif isinstance(value, dict):
        for key in ("family", "given", "city"):
            yield from [value[key]] if isinstance(value.get(key), str) else value.get(key, [])


def _days(value: Any) -> Iterator[str]:
    text = value.get("start") if isinstance(value, dict) else value
    if isinstance(text, str):
        yield text[:10]


def _references(value: Any) -> Iterator[str]:
    if "reference" in value:
        yield value["reference"]


HARVEST: dict[str, tuple[str, Harvest]] = {
    "string": ("NON-EXISTS", _words),
    "date": ("2070-01-01", _days),
    "reference": ("Patient/nobody", _references),
}


def _asked(ask: Ask, there: list[Json], chosen: random.Random) -> list[str]:
    """Return the values to ask for: the first is the one that finds nothing."""
    if ask.values:
        return [ask.values[0], *chosen.sample(ask.values[1:], min(EACH, len(ask.values)) - 1)]
    nothing, harvest = HARVEST[ask.group]
    held = sorted(
        {text for r in chosen.sample(there, min(300, len(there))) for v in values(r, ask.param) for text in harvest(v)}
    )
    return [nothing, *chosen.sample(held, min(EACH - 1, len(held)))]


def pool(population: list[Json], seed: int = 3) -> list[Query]:
    """Return the queries that are asked, each with the number that it means."""
    chosen = random.Random(seed)
    by_type = {name: list(of) for name, of in groupby(sorted(population, key=_type), key=_type)}
    found: dict[str, Query] = {}
    for ask in ASKS:
        there = by_type.get(ask.type, [])
        meant = _meant(ask, there)
        for modifier in ask.modifiers:
            for prefix in ask.prefixes:
                for value in _asked(ask, there, chosen):
                    path = f"{ask.type}?{ask.param}{modifier}={prefix}{value}"
                    found[path] = Query(ask.group, path, meant(modifier.lstrip(":") or None, prefix + value))
    return list(found.values())


def _meant(ask: Ask, there: list[Json]) -> Callable[[str | None, str], int]:
    """Return a counter of what a modifier and a text mean: values are taken out of each resource once."""
    if ask.group == "composite":
        texts = [json.encode(r).decode() for r in there]

        def composite(_: str | None, text: str) -> int:
            code = text.partition("$")[0].rpartition("|")[2]
            return sum(matches(r, ask.param, text) for r, body in zip(there, texts, strict=True) if f'"{code}"' in body)

        return composite
    kind, held = definition(ask.type, ask.param)["type"], [values(r, ask.param) for r in there]

    def plain(modifier: str | None, text: str) -> int:
        parts = cut(text, ",")
        return sum(any(accepts(kind, v, part, modifier) for v in of for part in parts) for of in held)

    return plain


def _type(resource: Json) -> str:
    name: str = resource["resourceType"]
    return name


async def _population(rig: Rig, token: str) -> list[Json]:
    """Return all resources of the types that are asked for, page by page."""
    found: list[Json] = []
    async with httpx.AsyncClient(timeout=120, headers={"Authorization": f"Bearer {token}"}) as client:
        for type_ in sorted({ask.type for ask in ASKS}):
            url: str | None = f"http://127.0.0.1:{rig.port}/fhir/{type_}?_count=1000"
            while url:
                bundle = json.decode_trusted((await client.get(url)).raise_for_status().content)
                found += [entry["resource"] for entry in bundle.get("entry", ())]
                url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), None)
    return found


# ---- asking ----


def _request(query: Query, token: str, more: str) -> bytes:
    return request("GET", f"/fhir/{quote(query.path, safe='/?&=:$,-|')}&{more}".replace("|", "%7C"), token)


async def measure(rig: Rig) -> dict[str, object]:
    """Return searches a second, percentiles by group, and how many of the queries found what they mean."""
    token = await rig.token("system/*.rs")
    queries = await asyncio.to_thread(pool, await _population(rig, token))
    wrong = await _checked(rig.port, token, queries)
    assert not wrong, wrong[:10]
    groups: dict[str, Measured] = {query.group: Measured() for query in queries}
    chosen = random.Random(11)

    async def turn(_number: int, _at: int, connection: Connection, measured: Measured) -> None:
        query = chosen.choice(queries)
        answer = await timed(connection, _request(query, token, f"_count={PAGE}"), measured)
        groups[query.group].durations.append(measured.durations[-1])
        assert answer.status == 200, (query, answer.body[:500])
        shown = answer.body.count(b'"search":{"mode":"match"}')
        assert shown == min(query.found, PAGE), (query, shown)

    before = rig.cpu()
    measured = await closed_loop(rig.port, CONNECTIONS, SECONDS, turn)
    measured.cpu_of(before, rig.cpu())
    return {
        "connections": CONNECTIONS,
        "queries_that_find_what_they_mean": f"{len(queries)} of {len(queries)}",
        **measured.summary(),
        "groups": {
            name: {"p50_ms": round(each.percentile(50), 2), "p99_ms": round(each.percentile(99), 2)}
            for name, each in groups.items()
        },
    }


async def _checked(port: int, token: str, queries: list[Query]) -> list[object]:
    """Return the queries whose exact total is another than meant, with it."""
    wrong: list[object] = []

    async with httpx.AsyncClient(timeout=120, headers={"Authorization": f"Bearer {token}"}) as client:
        for query in queries:
            url = f"http://127.0.0.1:{port}/fhir/{quote(query.path, safe='/?&=:$,-')}&_summary=count"
            total = (await client.get(url)).raise_for_status().json()["total"]
            wrong += [(query, total)] if total != query.found else []
    return wrong
