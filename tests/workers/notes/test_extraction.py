"""Extraction against sentences with known answers: how much of what is said is found, and how it is meant."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.notes.context import LONGEST, sentences
from workers.notes.extraction import MOST, Finding, TooMany, findings, gathered, proposal
from workers.notes.lexicon import mentions_suicidality
from workers.notes.plain import text_of_html

Corpus = list[tuple[str, list[list[str]]]]
CORPUS: Corpus = json.loads((Path(__file__).parent / "sentences.json").read_text())
UNSAFE: Corpus = json.loads((Path(__file__).parent / "unsafe.json").read_text())
"""What was once proposed as taken, had or not at all; with these the rules were mended, so nothing is measured by them."""
HELD_OUT: Corpus = json.loads((Path(__file__).parent / "held_out.json").read_text())
"""Written afterwards, measured once, then used to mend the rules: docs/notes.md has the figures of the first time."""
DOCUMENT: dict[str, Any] = {
    "resourceType": "DocumentReference", "id": "d", "date": "2026-06-12T09:00:00Z", "subject": {"reference": "Patient/p"},
}  # fmt: skip


def meant(found: Finding) -> str:
    """Return n (negated), o (somebody else), h (historical), y (hypothetical), or nothing."""
    if found.meant.experiencer == "other":
        return "o"
    return "n" if found.meant.negated else {"recent": "", "historical": "h", "hypothetical": "y"}[found.meant.time]


def measured(corpus: Corpus) -> dict[str, tuple[int, int, int]]:
    """Return found rightly, found wrongly and missed: of mentions, and of mentions as they are meant."""
    out = {}
    for name, size in (("mention", 2), ("meaning", 3)):
        right = wrong = missed = 0
        for text, wanted in corpus:
            found = Counter((f.kind, f.concept, meant(f))[:size] for f in findings(text))
            known = Counter(tuple(each)[:size] for each in wanted)
            right += sum((found & known).values())
            wrong += sum((found - known).values())
            missed += sum((known - found).values())
        out[name] = (right, wrong, missed)
    return out


@pytest.mark.parametrize(
    ("corpus", "least"), [(CORPUS, {"mention": 0.98, "meaning": 0.97}), (HELD_OUT, {"mention": 0.97, "meaning": 0.9})]
)
def test_precision_and_recall(corpus: Corpus, least: dict[str, float]) -> None:
    for name, (right, wrong, missed) in measured(corpus).items():
        precision, recall = right / (right + wrong), right / (right + missed)
        assert precision >= least[name], (name, precision, [t for t in corpus if _differs(t)])
        assert recall >= least[name], (name, recall, [t for t in corpus if _differs(t)])


def _differs(row: Any) -> bool:
    return Counter((f.kind, f.concept, meant(f)) for f in findings(row[0])) != Counter(tuple(e) for e in row[1])


@pytest.mark.parametrize("row", UNSAFE, ids=lambda row: row[0])
def test_what_was_unsafe_is_meant_as_written(row: Any) -> None:
    assert not _differs(row), [(f.kind, f.concept, meant(f)) for f in findings(row[0])]
    for found in findings(row[0]):
        assert found.proposed == (found.kind == "risk" or (found.kind != "allergy" and meant(found) == ""))


@pytest.mark.parametrize(
    "word", ["insomnia and hopeless. ", "insomnia ", "(previously ", "sich ", "a. ", "x", "PHQ-9 17 "]
)
def test_a_long_text_is_read_in_pieces(word: str) -> None:
    """Each mention looks at its own piece alone, whatever the length of the text: time grows with it, not with its square."""
    text = word * (9_000 // len(word))
    assert max(end - start for start, end in sentences(text)) <= LONGEST
    assert "".join(text[start:end] for start, end in sentences(text)).replace(" ", "") == text.replace(" ", "")
    assert len(findings(text)) <= MOST


def test_more_than_anybody_writes_is_refused() -> None:
    with pytest.raises(TooMany):
        findings("Insomnia. " * (MOST + 1))


def test_one_thing_in_one_sense_is_one_proposal() -> None:
    text = "Lithium. Takes lithium 900 mg. Lithium 450 mg. He wants to die. He  wants to die. Wants to die, no reason to live."
    assert [len(group) for group in gathered(findings(text), text)] == [2, 1, 2, 2]


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("<p>Keine&nbsp;Angst.</p><p>M&uuml;de</p>", "Keine Angst.\nM\u00fcde"),
        ("a<script>b</script><style>c</style><!-- d --><del>e</del>f", "af"),
        ("Not <b>anx</b>ious<br>1 < 2 &lt;b&gt;", "Not anxious\n1 < 2 <b>"),
        ("<p title='a > b'>c</p><SCRIPT>d</p></Script>e<a href=", "c\ne"),
        ("<ul><li>one<li>two</ul>\n three  four", "one\ntwo\nthree four"),
    ],
)
def test_html_as_seen(source: str, seen: str) -> None:
    assert text_of_html(source) == seen


@pytest.mark.parametrize("row", UNSAFE, ids=lambda row: row[0])
def test_a_draft_quotes_what_extraction_finds_of_death(row: Any) -> None:
    assert mentions_suicidality(row[0]) == any(concept in ("suicidality", "self-harm") for _, concept, _ in row[1])


def test_doses_values_and_spans() -> None:
    text = "Seen today. Takes lithium 900 mg twice daily; PHQ-9 score was 14. He wants to die."
    by_kind = {f.kind: f for f in findings(text)}
    drug = by_kind["medication"]
    assert drug.dose is not None
    assert (text[drug.start : drug.end], drug.dose.value, drug.dose.unit, drug.frequency) == ("lithium", 900, "mg", 2)
    assert by_kind["score"].value == 14
    told = proposal([by_kind["risk"]], text, DOCUMENT)
    assert (told["status"], told["valueString"]) == ("preliminary", "He wants to die.")
    assert proposal([drug], text, DOCUMENT)["status"] == "unknown"
    assert proposal([drug], text, DOCUMENT)["id"] == proposal([drug], text, DOCUMENT)["id"]
    assert "PHQ-9 was 40" not in [text[f.start : f.end] for f in findings("PHQ-9 was 40.")]
    assert findings("PHQ-9 was 40.") == []


@pytest.mark.parametrize("kind", ["symptom", "medication", "score", "risk"])
def test_labels_go_with_proposals(kind: str) -> None:
    text = "Depressed mood. Lithium. PHQ-9: 12. Suicidal."
    label = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "SUD"}
    found = next(f for f in findings(text) if f.kind == kind)
    assert proposal([found], text, DOCUMENT | {"meta": {"security": [label]}})["meta"]["security"] == [label]


@given(st.lists(st.sampled_from([text for text, _ in CORPUS]), max_size=5), st.text(max_size=40))
def test_spans_are_within_and_any_text_is_read(texts: list[str], noise: str) -> None:
    text = noise + "\n" + "\n".join(texts)
    for found in findings(text):
        first, last = found.sentence
        assert 0 <= first <= found.start < found.end <= last <= len(text)
