"""Headers of Open mHealth from before IEEE 1752.1: read where they say the same, and nothing is made of what they do not say."""

from __future__ import annotations

from typing import Any

import pytest

from workers.ingest.omh import read
from workers.ingest.sample import Sample, Unusable

NAMED = {"namespace": "omh", "name": "heart-rate", "version": "2.0"}
BODY = {
    "heart_rate": {"value": 62, "unit": "beats/min"},
    "effective_time_frame": {"date_time": "2026-01-05T08:00:00+01:00"},
}
CAME = {
    "source_name": "Shimmer",
    "source_creation_date_time": "2026-01-05T09:00:00Z",
    "modality": "sensed",
}
OLDER: dict[str, Any] = {
    "id": "point-7",
    "creation_date_time": "2026-02-01T00:00:00Z",
    "schema_id": NAMED,
    "user_id": "u",
}


def one(header: Any, body: Any = BODY) -> Any:
    (found,) = read({"header": header, "body": body}, "hub")
    return found


def test_an_older_header_is_read_and_its_store_is_no_word_of_the_source() -> None:
    bare = one(OLDER)
    assert isinstance(bare, Sample)
    assert (bare.issued, bare.method, bare.origin.name) == (None, None, "")
    assert bare.details == {"data-point": "point-7"}
    told = one(OLDER | {"acquisition_provenance": CAME | {"source_data_point_id": "s1"}})
    assert (told.issued, told.method, told.origin.name) == ("2026-01-05T09:00:00Z", "sensed", "Shimmer")
    assert told.details == {"data-point": "s1"}
    changed = CAME | {"source_last_modification_date_time": "2026-01-06T09:00:00Z"}
    assert one(OLDER | {"acquisition_provenance": changed}).issued == "2026-01-06T09:00:00Z"


def test_stored_again_by_another_store_it_is_the_same() -> None:
    came = {"acquisition_provenance": CAME}
    again = OLDER | came | {"creation_date_time": "2026-03-01T00:00:00Z"}
    assert one(OLDER | came) == one(again)


@pytest.mark.parametrize(
    ("header", "where"),
    [
        ({"id": 7, "creation_date_time": "2026-01-01T00:00:00Z", "schema_id": NAMED}, "header.id"),
        ({"id": "x", "schema_id": NAMED}, "header"),
        (OLDER | {"acquisition_provenance": {}}, "header.acquisition_provenance"),
        (OLDER | {"acquisition_provenance": CAME | {"modality": "guessed"}}, "header.acquisition_provenance.modality"),
        ({"id": "x", "uuid": "y", "creation_date_time": "2026-01-01T00:00:00Z", "schema_id": NAMED}, "header"),
        (OLDER | {"schema_id": {"namespace": "omh", "name": "heart-rate", "version": "1.0"}}, "header.schema_id"),
    ],
)
def test_what_is_neither_header_is_refused_with_its_place(header: Any, where: str) -> None:
    found = one(header)
    assert isinstance(found, Unusable)
    assert found.where == where
