"""LifeSnaps, real consumer data: everybody in by the shipped mapping, as many numbers out as the file has, gaps explained."""

from __future__ import annotations

import csv
import gzip
import io
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import pytest

import workers.ingest
from fhir_server.kit import json as exact
from fhir_server.storage.tenants import Tenant
from fhir_server.validation.validate import validate
from tests.http.client import caller
from tests.rest_fixtures import http, services
from tests.shared_data import shared
from workers.ingest import files, table
from workers.ingest.neutral import as_json
from workers.ingest.observe import observation
from workers.ingest.sample import Sample
from workers.twin.block import gather
from workers.twin.signals import read as twin_reads
from workers.twin.state import states

__all__ = ["http", "services"]
MAPPING = (Path(workers.ingest.__file__).parent / "mappings" / "lifesnaps.toml").read_bytes()
PEOPLE = 71


def content() -> bytes:
    return gzip.decompress((shared("lifesnaps") / "daily.csv.gz").read_bytes())


def rows_of_the_file() -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content().decode())))


def people(some: int = PEOPLE) -> Iterator[tuple[str, list[Sample]]]:
    """Yield the samples of each person, who are named in the order of the file."""
    found: dict[str, list[Sample]] = defaultdict(list)
    for row in files.read(io.BytesIO(content()), None, by=table.mapping(MAPPING)):
        assert row.patient is not None
        assert isinstance(row.item, Sample), row.item
        found[row.patient].append(row.item)
    yield from list(found.items())[:some]


def told(cell: str) -> bool:
    return cell.strip() != ""


def test_as_many_numbers_as_the_file_has() -> None:
    by = table.mapping(MAPPING)
    expected: Counter[str] = Counter()
    empty = 0
    for row in rows_of_the_file():
        said = [column.measure for column in by.columns if told(row[column.column])]
        expected.update(said)
        empty += not said
    expected["coverage-gap"] = empty
    found = Counter(sample.measure for _, samples in people() for sample in samples)
    assert found == expected
    assert len({row["id"] for row in rows_of_the_file()}) == PEOPLE
    assert found.total() > 40_000


def test_the_twin_of_a_few_people() -> None:
    """A day has a number of a feature exactly where the file has one, and else a reason."""
    by_person: dict[str, dict[date, dict[str, str]]] = defaultdict(dict)
    for row in rows_of_the_file():
        by_person[row["id"]][date.fromisoformat(row["date"])] = row
    for who, samples in people(3):
        made = [observation(who, sample) for sample in samples]
        blocks = gather((rid, 1, twin_reads(each)) for rid, each in enumerate(made, 1))
        rows = by_person[who]
        days = sorted(rows)
        compared = 0
        for state in states(blocks, days):
            features = {each.feature.code: each for each in state.features}
            row = rows[state.day]
            for code, column in (("steps", "steps"), ("resting-heart-rate-reported", "resting_hr")):
                feature = features[code]
                if told(row[column]):
                    assert feature.value == pytest.approx(float(row[column])), (state.day, code)
                    compared += 1
                else:
                    assert feature.value is None
                    assert feature.reason
        assert compared > 50


def test_the_method_of_hrv_and_what_is_no_measurement() -> None:
    [(_, samples)] = people(1)
    kinds = {sample.measure for sample in samples}
    assert "hrv-rmssd" in kinds
    assert "hrv-sdnn" not in kinds
    means = [observation("p", sample) for sample in samples if sample.measure == "heart-rate"]
    assert all(twin_reads(each).samples == () for each in means), "the mean of a day is no heart rate of a minute"
    assert all(sample.status == "preliminary" for sample in samples)
    for sample in samples[:200]:
        assert validate(observation("p", sample)) == []


@pytest.mark.slow
async def test_71_people_in(http: httpx.AsyncClient, tenants: dict[str, Tenant], unique: str) -> None:
    """Through the server, a person a request or two; again, and nothing changes."""
    client = await caller(http, tenants["default"])
    total: Counter[str] = Counter()
    for who, samples in people():
        patient = f"{unique}-{who}"
        assert (await client.put(f"Patient/{patient}", {"resourceType": "Patient", "id": patient})).status == 201
        for start in range(0, len(samples), 2000):
            sent: dict[str, Any] = {"format": "clarity", "samples": [as_json(s) for s in samples[start : start + 2000]]}
            answer = await client.post(f"Patient/{patient}/$ingest", exact.encode(sent))
            assert answer.status == 200, answer.text
            total.update({each["name"]: each["valueInteger"] for each in answer.json["parameter"]})
        found = (await client.get(f"Observation?patient={patient}&_summary=count")).json["total"]
        assert found == len(samples)
        gaps = (await client.get(f"Observation?patient={patient}&code=wear-gap&_summary=count")).json["total"]
        assert gaps == sum(sample.measure == "coverage-gap" for sample in samples)
    assert total["created"] > 40_000
    assert total["refused"] == total["updated"] == total["outdone"] == 0
