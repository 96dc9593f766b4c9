"""SNOMED CT, ICD-10-CM and RxNorm codes: each is listed in docs/codes.md, and no digit of SNOMED CT's is mistyped."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from profiles.psych import rules
from workers.demo import clinic, codes
from workers.notes import spoken
from workers.twin.resources import software_device

ROOT = Path(__file__).parents[3]
LISTED = (ROOT / "docs" / "codes.md").read_text(encoding="utf-8")
_ROUND = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def _times(a: int, b: int) -> int:
    """Multiply in the dihedral group of ten, on which Verhoeff's check digit is."""
    if a < 5:
        return (a + b) % 5 + (5 if b >= 5 else 0)
    return (a - b) % 5 + (0 if b >= 5 else 5)


def is_sctid(code: str) -> bool:
    """Tell whether the check digit is right (SNOMED CT release file specification, 5.5)."""
    total = 0
    for place, digit in enumerate(map(int, reversed(code))):
        for _ in range(place % 8):
            digit = _ROUND[digit]
        total = _times(total, digit)
    return total == 0


def _snomed() -> set[str]:
    told = json.loads((ROOT / "workers" / "notes" / "data" / "symptoms.json").read_text(encoding="utf-8"))
    found = set(re.findall(r'"snomed": "(\d+)"', json.dumps(told)))
    found |= {each.snomed[0] for each in codes.DIAGNOSES} | {each[0][0] for each in codes.SOMATIC}
    found |= {each[3] for each in clinic.STAFF} | {each[2] for each in clinic.VISITS}
    found |= {rules.PSYCHIATRIST[0], rules.PSYCHOLOGIST[0], rules.NURSE[0]}
    found |= set(re.findall(r"\b\d{7,9}\b", spoken._CODES.pattern))
    return found | {software_device("1")["type"]["coding"][0]["code"]}


@pytest.mark.parametrize(("code", "right"), [("22298006", True), ("22298007", False), ("22928006", False)])
def test_the_check_digit_notices_what_is_mistyped(code: str, right: bool) -> None:
    assert is_sctid(code) is right


def test_every_code_of_snomed_is_right_and_listed() -> None:
    found = _snomed()
    assert len(found) > 40
    assert [code for code in sorted(found) if not is_sctid(code)] == []
    assert [code for code in sorted(found) if not re.search(rf"\b{code}\b", LISTED)] == []


def test_every_code_of_the_demo_is_listed() -> None:
    icd = {each.icd10[0] for each in codes.DIAGNOSES} | {each[1][0] for each in codes.SOMATIC}
    drugs = {drug.rxnorm for each in codes.DIAGNOSES for drug in each.drugs}
    assert [code for code in sorted(icd | drugs) if not re.search(rf"\b{re.escape(code)}\b", LISTED)] == []
