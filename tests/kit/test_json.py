"""What JSON from outside may be, what is refused, with which id and place; and that decimals stay as written."""

import json as stdlib
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fhir_server.errors import BadRequest
from fhir_server.kit import json

LONG = b"9" * 65

REFUSED: list[tuple[str, bytes, str, str]] = [
    ("depth", b"[" * 65 + b"]" * 65, "json-depth", "64 levels"),
    ("depth that never ends", b"[" * 1_000_000, "json-depth", "64 levels"),
    ("depth of objects", b'{"a":' * 1_000_000, "json-depth", "64 levels"),
    ("depth hidden behind brackets in strings", b'{"}":' * 65 + b"1" + b"}" * 65, "json-depth", "64 levels"),
    ("depth hidden behind escapes", b'{"\\"}":' * 65 + b"1" + b"}" * 65, "json-depth", "64 levels"),
    ("depth hidden behind backslashes", b'{"}\\\\":' * 65 + b"1" + b"}" * 65, "json-depth", "64 levels"),
    ("depth of both kinds", b'[{"a":' * 33 + b"1" + b"}]" * 33, "json-depth", "64 levels"),
    ("65 digits", b'{"value":' + LONG + b"}", "json-number", "byte 9"),
    ("5,000 digits", b"1" * 5000, "json-number", "byte 0"),
    ("65 digits after the point", b"[0." + LONG + b"]", "json-number", "byte 1"),
    ("65 digits beside a string of 65", b'["' + LONG + b'",-' + LONG + b"]", "json-number", "byte 69"),
    ("a large exponent", b"[1, 1e513]", "json-number", "byte 4"),
    ("a small exponent", b"1e-513", "json-number", "byte 0"),
    ("the exponent of an amplification", b"1e130000", "json-number", "byte 0"),
    ("an exponent beyond Decimal", b"1e99999999999999999999", "json-number", "byte 0"),
    ("NaN", b'{"a":NaN}', "json-number", "byte 5"),
    ("Infinity", b"[-Infinity]", "json-number", "byte"),
    ("a doubled key", b'{"a":1,"a":2}', "json-duplicate-key", "'a'"),
    ("a doubled key, written differently", b'{"a":1,"\\u0061":2}', "json-duplicate-key", "'a'"),
    ("a doubled key with the same value", b'{"a":{"b":1,"b":1}}', "json-duplicate-key", "'b'"),
    ("a doubled key beside an escaped colon", b'{"a":"\\u003a","a":":"}', "json-duplicate-key", "'a'"),
    ("U+0000 escaped", b'{"a":"x\\u0000"}', "json-nul", "byte 7"),
    ("U+0000 behind a backslash", b'{"a":"\\\\\\u0000"}', "json-nul", "byte 8"),
    ("U+0000 in a key", b'{"\\u0000":1}', "json-nul", "byte 2"),
    ("U+0000 raw", b'{"a":"\x00"}', "json-syntax", "byte 6"),
    ("a high surrogate", b'"\\ud800"', "json-surrogate", "byte 1"),
    ("a low surrogate", b'"\\udc00x"', "json-surrogate", "byte 1"),
    ("two high surrogates", b'"\\ud800\\ud800"', "json-surrogate", "byte"),
    ("a surrogate in UTF-8", b'{"a":"\xed\xa0\x80"}', "json-utf8", "byte 6"),
    ("overlong UTF-8", b'"\xc0\x80"', "json-utf8", "byte 1"),
    ("Latin-1", b'{"a":"M\xfcller"}', "json-utf8", "byte 7"),
    ("UTF-16", '{"a":1}'.encode("utf-16"), "json-utf8", "byte 0"),
    ("a byte order mark", b"\xef\xbb\xbf{}", "json-syntax", "byte 0"),
    ("trailing data", b"{} {}", "json-syntax", "trailing"),
    ("trailing text", b"{} x", "json-syntax", "trailing"),
    ("nothing", b"", "json-syntax", "ends too early"),
    ("an open string", b'{"a":"b', "json-syntax", "ends too early"),
    ("an open object", b'{"a":1', "json-syntax", "ends too early"),
    ("a trailing comma", b"[1,]", "json-syntax", "byte 3"),
    ("a single quote", b"{'a':1}", "json-syntax", "byte 1"),
    ("a comment", b"{} // x", "json-syntax", "trailing"),
    ("a leading zero", b"[01]", "json-syntax", "byte 2"),
    ("a plus sign", b"[+1]", "json-syntax", "byte 1"),
    ("a raw newline in a string", b'"a\nb"', "json-syntax", "byte 2"),
    ("an unknown escape", b'"\\x41"', "json-syntax", "byte"),
    ("a closing bracket", b"]]]]", "json-syntax", "byte 0"),
]


@pytest.mark.parametrize(("data", "id_", "place"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_a_refusal_has_its_id_and_names_the_place(data: bytes, id_: str, place: str) -> None:
    with pytest.raises(BadRequest) as caught:
        json.decode(data)
    assert caught.value.id == id_
    assert place in caught.value.text
    assert caught.value.status == 400


ACCEPTED: list[tuple[bytes, Any]] = [
    (b"[" * 64 + b"]" * 64, None),
    (b'["' + b"{[" * 200 + b'"]', ["{[" * 200]),
    (b'["' + LONG + b'"]', ["9" * 65]),
    (b"9" * 64, int("9" * 64)),
    (b"1e512", Decimal("1e512")),
    (b'"\\\\u0000"', "\\u0000"),
    (b'"\\ud83d\\ude00"', "\U0001f600"),
    (b'"\\\\ud800"', "\\ud800"),
    (b'{"a:":":","b":"\\u003a"}', {"a:": ":", "b": ":"}),
    (b'{"a":"\\\\u003a"}', {"a": "\\u003a"}),
    (b' { "a" : [ 1 , { } ] } \n', {"a": [1, {}]}),
    (b"[" + b"[]," * 1000 + b"[]]", [[]] * 1001),
]


@pytest.mark.parametrize(("data", "value"), ACCEPTED)
def test_what_is_near_the_limits_is_accepted(data: bytes, value: Any) -> None:
    assert value is None or json.decode(data) == value


def test_a_doubled_key_of_a_resource_is_named_by_expression() -> None:
    data = b'{"resourceType":"Patient","name":[{"family":"a"},{"given":["x"],"given":["y"]}]}'
    with pytest.raises(BadRequest) as caught:
        json.decode(data)
    assert caught.value.expression == "Patient.name[1].given"
    assert "x" not in caught.value.text.replace("'given'", "")


def test_a_strange_key_is_not_repeated() -> None:
    with pytest.raises(BadRequest) as caught:
        json.decode(b'{"Jane Doe, born 1970":1,"Jane Doe, born 1970":2}')
    assert "Jane" not in caught.value.text


NUMBERS = [
    "72.50",
    "72.5",
    "0",
    "-0.0",
    "0.10",
    "1E+2",
    "1E-7",
    "120",
    "3.14159265358979323846264338327950288",
    "1E+400",
]


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_is_written_as_it_was_read(text: str) -> None:
    assert json.encode(json.decode(text.encode())) == text.encode()
    assert json.encode(json.decode_trusted(text.encode())) == text.encode()


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**30), max_value=10**30))
@example(Decimal("0E-10"))
def test_decimals_keep_value_and_precision(number: Decimal) -> None:
    read = json.decode(str(number).encode())
    if isinstance(read, Decimal):
        assert read.as_tuple() == number.as_tuple()
    else:
        assert (read, number.as_tuple().exponent) == (number, 0)


TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**60), 10**60) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=20,
)


@given(JSON, st.sampled_from([(",", ":"), (", ", " : ")]), st.booleans())
def test_it_reads_what_another_library_writes(value: Any, separators: tuple[str, str], ascii_: bool) -> None:
    text = stdlib.dumps(value, separators=separators, ensure_ascii=ascii_)
    assert json.decode(text.encode()) == value
    assert stdlib.loads(json.encode(value)) == value


@given(st.binary(max_size=60) | st.text('[]{}",:\\u01aeE.-+ ', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        value = json.decode(data)
    except BadRequest:
        return
    assert stdlib.loads(data, parse_float=Decimal, object_pairs_hook=_once) == value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def test_a_bundle_is_split_without_decoding_it() -> None:
    data = b'{"resourceType":"Bundle","entry":[{"resource":{"a":72.50}},{"resource":{"a":1,"a":2}}]}'
    members = json.members(data)
    entries = [json.members(bytes(item)) for item in json.items(bytes(members["entry"]))]
    assert [bytes(e["resource"]) for e in entries] == [b'{"a":72.50}', b'{"a":1,"a":2}']
    with pytest.raises(BadRequest, match="'a'"):
        json.members(b'{"a":1,"a":2}')
    with pytest.raises(BadRequest, match="expected"):
        json.members(b"[1]")
    with pytest.raises(BadRequest, match="expected"):
        json.items(b'{"a":1}')
