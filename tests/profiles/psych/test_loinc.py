"""Every LOINC code of ours is one that somebody looked up, under a name that it has."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import re
import tarfile
from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from itertools import islice
from typing import Any

import pytest

from fhir_server.cli.published import artefacts_of
from fhir_server.settings import ROOT
from profiles.psych.codes import BASE
from profiles.psych.examples import examples
from profiles.psych.measures import MEASURES, PARTS
from profiles.psych.rules import shipped
from tests.profiles.psych.loinc import AT_HAND, LOINC, SYNTHEA, US_CORE
from tests.shared_data import shared
from workers.demo.corpus import corpus
from workers.demo.generate import generate

URL = "http://loinc.org"
CODE = re.compile(r"[\"'/](LA\d{1,6}-\d|\d{1,6}-\d)[\"']")
SEARCHED = ("profiles", "workers", "fhir_server/operations", "fhir_server/cli")


def codings(value: Any) -> Iterator[tuple[str, str | None]]:
    """Every code of LOINC in a resource with its name."""
    if isinstance(value, dict):
        if value.get("system") == URL and isinstance(value.get("code"), str):
            yield value["code"], value.get("display")
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from codings(each)


def ours() -> Iterator[tuple[str, str | None]]:
    for resource in (*artefacts_of(BASE), *examples(), *shipped(BASE), *islice(corpus(1), 1500)):
        yield from codings(resource)
    for bundle in islice(generate(1, 2, 20, end=date(2026, 3, 20)), 8):
        yield from codings(bundle)
    for system, code, display in (*(c for m in MEASURES for c in m.codes), *(c for c, _ in PARTS.values())):
        if system == URL:
            yield code, display


def test_what_we_write_is_in_the_table_under_a_name_of_its_own() -> None:
    found = set(ours())
    strange = {(c, d) for c, d in found if c not in LOINC or (d is not None and d not in LOINC[c][0])}
    assert not strange
    assert len({code for code, _ in found}) > 40


def test_no_code_stands_in_the_source_that_is_not_in_the_table() -> None:
    """Also where a name is not beside it; what is a DOI or a date is no code, for its check digit is not LOINC's."""
    for folder in SEARCHED:
        for path in (ROOT / folder).rglob("*.py"):
            found = {match for match in CODE.findall(path.read_text()) if checked(match)}
            assert found <= LOINC.keys(), path


def checked(code: str) -> bool:
    """Tell whether the last digit is LOINC's check digit (mod 10, as Luhn's) of the others; answers have one of another kind."""
    digits, _, check = code.partition("-")
    if not digits.isdigit():
        return True
    total = sum(sum(divmod(int(d) * (2 if place % 2 == 0 else 1), 10)) for place, d in enumerate(reversed(digits)))
    return int(check) == -total % 10


def test_every_code_of_the_table_has_its_check_digit() -> None:
    assert [code for code in LOINC if not checked(code)] == []
    assert not checked("44261-5")


def texts(source: str) -> Iterator[bytes]:
    """What a source at hand holds, file by file."""
    if source == US_CORE:
        [package] = shared("us-core").glob("*.tgz")
        with tarfile.open(package) as tar:
            for member in tar:
                if member.name.endswith(".json") and (file := tar.extractfile(member)):
                    yield file.read()
    elif source == SYNTHEA:
        for path in sorted(shared(source).glob("*.bz2"))[2:8]:
            yield bz2.decompress(path.read_bytes())
    else:
        for path in sorted(shared(source).rglob("*.gz"))[:12]:
            yield gzip.GzipFile(fileobj=io.BytesIO(path.read_bytes())).read()


@pytest.mark.parametrize("source", AT_HAND)
def test_the_sources_at_hand_say_the_same(source: str) -> None:
    told: dict[str, set[str]] = defaultdict(set)
    for text in texts(source):
        if URL.encode() in text:
            for code, display in codings(json.loads(text)):
                told[code] |= {display.casefold()} if display else set()
    for code, (names, read_in) in LOINC.items():
        if read_in == source:
            assert told[code] & {name.casefold() for name in names}, code
