"""Headers and formats: what FHIR gives a meaning to."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from fhir_server.errors import BadRequest, NotAcceptable, UnsupportedMedia
from fhir_server.http.headers import Prefer, http_date, parse_conditions, parse_prefer
from fhir_server.http.negotiate import check_accept, check_content_type, check_format
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


def test_prefer_refuses_unknown_values() -> None:
    with pytest.raises(BadRequest):
        parse_prefer("return=everything")


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


@pytest.mark.parametrize(
    "accept",
    ["", "*/*", "application/fhir+json", "application/json", "text/html, */*;q=0.8", "application/fhir+json;fhirVersion=4.0",
     "application/fhir+xml, application/fhir+json;q=0.1"],
)  # fmt: skip
def test_accepted(accept: str) -> None:
    check_accept(accept)


@pytest.mark.parametrize(
    "accept",
    ["application/fhir+xml", "text/turtle", "application/json;q=0", "application/fhir+json;fhirVersion=5.0", "garbage"],
)
def test_not_acceptable(accept: str) -> None:
    with pytest.raises(NotAcceptable):
        check_accept(accept)


@pytest.mark.parametrize(
    ("value", "taken"), [("json", True), ("application/fhir json", True), ("xml", False), ("x", False)]
)
def test_format(value: str, *, taken: bool) -> None:
    if taken:
        check_format(value)
    else:
        with pytest.raises(NotAcceptable):
            check_format(value)


@pytest.mark.parametrize(
    ("text", "form", "taken"),
    [
        ("application/fhir+json; charset=UTF-8", False, True),
        ("application/json", False, True),
        ("", False, True),
        ("application/fhir+xml", False, False),
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
