"""Words that the checker and the extraction know: medicines, symptoms and risks, in English and German; data in `data/`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from fhir_server.kit import json

_DATA: Final = Path(__file__).parent / "data"


@cache
def table(name: str) -> dict[str, Any]:
    """Return one of the data files."""
    found: dict[str, Any] = json.decode_trusted((_DATA / f"{name}.json").read_bytes())
    return found


@cache
def drugs() -> Mapping[str, str]:
    """Return the generic name of every name of a medicine, in lower case."""
    return {name: generic for generic, names in table("drugs")["drugs"].items() for name in (generic, *names)}


@cache
def _drug_pattern() -> re.Pattern[str]:
    names = "|".join(sorted(map(re.escape, drugs()), key=len, reverse=True))
    stems = "|".join(table("drugs")["stems"])
    return re.compile(rf"(?<!\w)(?:(?P<known>{names})|(?P<stem>\w{{3,}}(?:{stems})))(?!\w)", re.IGNORECASE)


def drugs_in(text: str) -> list[tuple[str, int, int]]:
    """Return (generic name, start, end) of the medicines that a text names; those of a known stem by their own name."""
    spared = table("drugs")["spared"]
    found = []
    for match in _drug_pattern().finditer(text):
        word = match.group().lower()
        if word in spared:
            continue
        found.append((drugs().get(word, word), match.start(), match.end()))
    return found


_OF_DEATH: Final = ("suicidality", "self-harm")


@cache
def _suicidal() -> re.Pattern[str]:
    rows = table("symptoms")["symptoms"]
    words = "|".join(word for name in _OF_DEATH for word in rows[name]["words"])
    return re.compile(f"{'|'.join(table('concepts')['suicidality'])}|(?<!\\w)(?:{words})(?!\\w)", re.IGNORECASE)


def suicidality_at(text: str) -> tuple[int, int] | None:
    """Return where a text first speaks of suicide, of wanting to be dead or of self-harm."""
    found = _suicidal().search(text)
    return found.span() if found else None


@cache
def _deathly() -> re.Pattern[str]:
    return re.compile("|".join([_suicidal().pattern, *table("concepts")["death"]]), re.IGNORECASE)


def mentions_suicidality(text: str) -> bool:
    """Tell whether a text speaks of suicide, of wanting to be dead or of self-harm; rather once too often than not."""
    return _deathly().search(text) is not None


@dataclass(frozen=True, slots=True)
class Mention:
    """A symptom or risk that a text names, with its place."""

    concept: str
    start: int
    end: int


@cache
def _concept_patterns() -> Mapping[str, re.Pattern[str]]:
    rows = table("symptoms")["symptoms"]
    return {
        name: re.compile(rf"(?<!\w)(?:{'|'.join(row['words'])})(?!\w)", re.IGNORECASE) for name, row in rows.items()
    }


def concepts_in(text: str) -> list[Mention]:
    """Return the symptoms and risks that a text names, by their place."""
    found = [Mention(name, m.start(), m.end()) for name, p in _concept_patterns().items() for m in p.finditer(text)]
    return sorted(found, key=lambda each: (each.start, -each.end, each.concept))
