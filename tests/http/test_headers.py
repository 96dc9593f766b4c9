"""Headers and formats: what FHIR gives a meaning to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fhir_server.errors import BadRequest, UnsupportedMedia
from fhir_server.http.headers import Prefer, http_date, parse_conditions, parse_prefer
from fhir_server.http.negotiate import accepted, asked_format, check_content_type, is_xml
from fhir_server.http.render import takes_gzip
from fhir_server.interactions.conditions import NO_CONDITIONS


@pytest.mark.parametrize(
    ("text", "prefer"),
    [
        ("return=minimal", Prefer("minimal")),
        ('return="representation"', Prefer("representation")),
        ("handling=lenient, return=OperationOutcome", Prefer("OperationOutcome", lenient=True)),
        ("respond-async", Prefer(respond_async=True)),
        ("return=minimal; respond-async", Prefer("minimal", respond_async=True)),
        ("wait=10", Prefer()),
        ("handling=strict", Prefer()),
        ("", Prefer()),
    ],
)
def test_prefer(text: str, prefer: Prefer) -> None:
    assert parse_prefer(text) == prefer


def test_prefer_ignores_unknown_values() -> None:
    """RFC 7240 §2: what is not recognised is ignored. SMART JS 2.6.3 sends `return=presentation` with a patch."""
    assert parse_prefer("return=presentation") == Prefer()
    assert parse_prefer("return=minimal, return=everything, handling=odd") == Prefer("minimal")


def test_conditions() -> None:
    assert parse_conditions({"accept": "x"}) is NO_CONDITIONS
    made = parse_conditions(
        {
            "if-match": 'W/"3"',
            "if-none-match": '"4"',
            "if-modified-since": "Sun, 22 Nov 2026 10:00:00 GMT",
            "if-none-exist": "identifier=1",
        }
    )
    assert (made.if_match, made.if_none_match, made.if_none_exist) == (("3",), ("4",), "identifier=1")
    assert made.if_modified_since == datetime(2026, 11, 22, 10, tzinfo=UTC)
    assert parse_conditions({"if-none-match": "*"}).if_none_match == ("*",)
    assert parse_conditions({"if-modified-since": "yesterday"}).if_modified_since is None


@pytest.mark.parametrize("text", ["3", "W/3", '"1" "2"', '"1", 2', ""])
def test_etags_that_make_no_sense(text: str) -> None:
    with pytest.raises(BadRequest):
        parse_conditions({"if-match": text})


def test_http_date() -> None:
    assert http_date(datetime(2026, 11, 22, 10, 0, 0, 999_000, UTC)) == "Sun, 22 Nov 2026 10:00:00 GMT"


FHIR_JSON, FHIR_XML = "application/fhir+json", "application/fhir+xml"


@pytest.mark.parametrize(
    ("accept", "answer"),
    [
        ("", FHIR_JSON),
        ("*/*", FHIR_JSON),
        ("application/*", FHIR_JSON),
        ("text/*", "text/json"),
        ("application/fhir+json", FHIR_JSON),
        ("application/json", "application/json"),
        ("text/json", "text/json"),
        ("application/json+fhir", FHIR_JSON),
        ("application/fhir+json;fhirVersion=4.0", FHIR_JSON),
        ('Application/FHIR+JSON; charset="UTF-8"', FHIR_JSON),
        ("application/fhir+xml", FHIR_XML),
        ("application/xml", "application/xml"),
        ("text/xml", "text/xml"),
        ("application/xml+fhir", FHIR_XML),
        ("application/fhir+xml, application/fhir+json", FHIR_XML),
        ("application/fhir+json, application/fhir+xml", FHIR_JSON),
        ("application/fhir+xml;q=0.5, application/fhir+json;q=0.9", FHIR_JSON),
        ("application/fhir+xml;q=0.9, application/fhir+json;q=0.5", FHIR_XML),
        ("application/fhir+xml, */*", FHIR_XML),
        ("application/fhir+xml;q=0.8, */*;q=0.9", FHIR_JSON),
        ("application/json, text/plain, */*", "application/json"),
        ("image/png, */*;q=0.1", FHIR_JSON),
        ("application/fhir+json;q=0, */*", "application/json"),
        ("application/fhir+json;q=0, application/json;q=0, text/json;q=0, */*", FHIR_XML),
        ("application/fhir+xml;fhirVersion=5.0, application/fhir+json;q=0.1", FHIR_JSON),
        ("application/fhir+xml;fhirVersion=5.0, application/fhir+xml;fhirVersion=4.0;q=0.1", FHIR_XML),
        ("application/fhir+xml;q=high, application/fhir+json;q=0.1", FHIR_JSON),
        ("text/turtle", None),
        ("application/json;q=0", None),
        ("application/fhir+json;fhirVersion=5.0", None),
        ("garbage", None),
        (",", FHIR_JSON),
    ],
)
def test_accept(accept: str, answer: str | None) -> None:
    face = accepted(accept)
    assert (face and face.content_type) == (answer and f"{answer};charset=utf-8".encode())


@pytest.mark.parametrize(
    ("value", "answer"),
    [
        ("json", FHIR_JSON),
        ("application/json", "application/json"),
        ("application/fhir json", FHIR_JSON),
        ("application/fhir+json;fhirVersion=4.0.1", FHIR_JSON),
        ("text/json", "text/json"),
        ("xml", FHIR_XML),
        ("XML", FHIR_XML),
        ("text/xml", "text/xml"),
        ("application/xml", "application/xml"),
        ("application/fhir xml", FHIR_XML),
        ("application/fhir+xml; fhirVersion=4.0", FHIR_XML),
        ("ttl", None),
        ("text/turtle", None),
        ("application/fhir+xml;fhirVersion=3.0", None),
        ("x", None),
        ("", None),
    ],
)
def test_format(value: str, answer: str | None) -> None:
    face = asked_format(value)
    assert (face and face.content_type) == (answer and f"{answer};charset=utf-8".encode())


@pytest.mark.parametrize(
    ("text", "form", "taken"),
    [
        ("application/fhir+json; charset=UTF-8", False, True),
        ("application/json", False, True),
        ("", False, True),
        ("application/fhir+xml", False, True),
        ("text/xml; charset=utf-8", False, True),
        ("application/xml; charset=utf-16", False, False),
        ("application/fhir+turtle", False, False),
        ("application/json; charset=latin-1", False, False),
        ("application/fhir+json; fhirVersion=5.0", False, False),
        ("application/x-www-form-urlencoded", False, False),
        ("application/x-www-form-urlencoded", True, True),
        ("application/json", True, False),
    ],
)
def test_content_type(text: str, *, form: bool, taken: bool) -> None:
    if taken:
        check_content_type(text, form=form)
    else:
        with pytest.raises(UnsupportedMedia):
            check_content_type(text, form=form)


def test_bodies_in_xml() -> None:
    assert is_xml("application/fhir+xml; charset=utf-8")
    assert is_xml("Text/XML")
    assert not is_xml("application/fhir+json")
    assert not is_xml("application/json-patch+json")
    assert not is_xml("")


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("br", False),
        ("", False),
    ],
)
def test_gzip(text: str, *, taken: bool) -> None:
    assert takes_gzip(text) is taken
