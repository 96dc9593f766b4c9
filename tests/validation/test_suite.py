"""The HL7 validator's own cases, as far as the shape decides them: no valid one is refused, these wrong ones are."""

import json as stdlib
from typing import Any

from fhir_server.errors import FhirError
from fhir_server.validation.validate import parse_resource
from tests.shared_data import shared

# Wrong in their shape; the other wrong cases break invariants, profiles, terminology or the rules of questionnaires.
REFUSED = {
    "ai3.json": "shape-unknown-element",
    "attachment-with-invalid-binary.json": "shape-value",
    "bad-json-close-1.json": "json-syntax",
    "bundle-ea-testcase.json": "shape-required",
    "cs-meta-profile.json": "shape-wrong-type",
    "hakan-se-2.json": "shape-required",
    "json-comments.json": "shape-unknown-element",
    "obs-vs-2.json": "shape-required",
    "pat-security-bad-xhtml.json": "narrative",
    "patient-id-bad-1.json": "shape-value",
    "questionnaire/brianpos/open-choice-invalid-type-qr.json": "shape-unknown-element",
    "questionnaire/brianpos/reference-invalid-url-qr.json": "shape-reference",
}


def refused(data: bytes) -> set[str]:
    """Return the ids of what is wrong."""
    try:
        parse_resource(data)
    except FhirError as error:
        return {issue.id for issue in error.issues}
    return set()


def test_the_shape_decides_as_the_validator_of_hl7_does() -> None:
    folder = shared("validator")
    cases: list[dict[str, Any]] = stdlib.loads((folder / "cases.json").read_bytes())
    texts = {c["file"]: (folder / "files" / c["file"]).read_bytes() for c in cases if c["file"].endswith(".json")}
    valid = {c["file"] for c in cases if not c["errors"]} & set(texts)
    found = {file: ids for file, text in texts.items() if (ids := refused(text))}
    assert len(valid) == 51  # files; two stand in two cases
    assert not found.keys() & valid
    assert found.keys() == REFUSED.keys()
    assert all(REFUSED[file] in ids for file, ids in found.items())
