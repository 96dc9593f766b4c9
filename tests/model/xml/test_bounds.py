"""Attack 96 and its kin: entity bombs, outside entities, deep, wide and endless documents end early, in little memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fhir_server.errors import BadRequest
from fhir_server.model.xml.read import Reader, from_xml

NS = b'xmlns="http://hl7.org/fhir"'
XHTML = b'<div xmlns="http://www.w3.org/1999/xhtml">'
LAUGHS = b"".join(b'<!ENTITY l%d "%b">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
MEGABYTE = 1 << 20


@contextmanager
def at_most(megabytes: int) -> Iterator[None]:
    """Fail when more memory was held at once than is allowed; what expat itself holds is not counted."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * MEGABYTE
    finally:
        tracemalloc.stop()


def refused(text: bytes) -> str:
    with pytest.raises(BadRequest) as caught:
        from_xml(text)
    return caught.value.id


def patient(inside: bytes) -> bytes:
    return b"<Patient %b>%b</Patient>" % (NS, inside)


def bomb(declarations: bytes, use: bytes) -> bytes:
    return b"<!DOCTYPE Patient [%b]>%b" % (declarations, patient(b'<id value="%b"/>' % use))


@pytest.mark.parametrize(
    "text",
    [
        bomb(b'<!ENTITY l0 "lol">' + LAUGHS, b"&l9;"),
        bomb(b'<!ENTITY a "%b">' % (b"x" * 100_000), b"&a;" * 10_000),
        bomb(b'<!ENTITY a SYSTEM "file:///etc/passwd">', b"&a;"),
        bomb(b'<!ENTITY a SYSTEM "http://169.254.169.254/">', b"&a;"),
        bomb(b'<!ENTITY % p SYSTEM "http://127.0.0.1:1/x.dtd"> %p;', b"x"),
        bomb(b'<!ENTITY a "&b;"><!ENTITY b "&a;">', b"&a;"),
        bomb(b'<!ATTLIST Patient id CDATA "x">', b"x"),
        b'<!DOCTYPE Patient SYSTEM "http://127.0.0.1:1/x.dtd">' + patient(b""),
        b"<!DOCTYPE Patient>" + patient(b""),
    ],
    ids=["laughs", "quadratic", "file", "http", "parameter", "circle", "attlist", "external", "bare"],
)
def test_no_document_type(text: bytes) -> None:
    with at_most(4):
        assert refused(text) == "xml-doctype"


@pytest.mark.parametrize("text", [b"&lol;", b"&amp;lol;&x;"])
def test_entities_that_nobody_declared(text: bytes) -> None:
    assert refused(patient(b'<id value="%b"/>' % text)) == "xml-syntax"


def test_entities_in_a_narrative() -> None:
    text = b"<text><status value='generated'/>%b&nbsp;</div></text>" % XHTML
    assert refused(patient(text)) == "xml-syntax"


@pytest.mark.parametrize(
    ("text", "issue"),
    [
        (patient(b"<extension url='u'>" * 1_000_000), "xml-depth"),
        (patient(b"<contained><Patient>" * 1_000_000), "xml-depth"),
        (patient(b"<x>" * 1_000_000), "xml-element"),
        (patient(b"<id><x/></id>" * 1_000_000), "xml-element"),
        (patient(b"<text><status value='generated'/>%b%b" % (XHTML, b"<p>" * 1_000_000)), "xml-depth"),
        (patient(b"".join(b"<x%d/>" % n for n in range(200_000))), "xml-element"),
        (patient(b"<x>%b</x>" % b"".join(b"<x%d/>" % n for n in range(200_000))), "xml-names"),
        (patient(b"<x>%b</x>" % (b"<y/>" * 1_000_000)), "xml-element"),
        (patient(b"<text>%b%b" % (XHTML, b"".join(b"<x%d/>" % n for n in range(200_000)))), "xml-names"),
        (patient(b"<text>%b%b" % (XHTML, b"".join(b"<p x%d=''/>" % n for n in range(200_000)))), "xml-names"),
        (patient(b"<text>%b%b" % (XHTML, b"".join(b"<p xmlns:x%d='u'/>" % n for n in range(200_000)))), "xml-names"),
        (patient(b"<id %b/>" % b" ".join(b"x%d=''" % n for n in range(500_000))), "xml-attributes"),
        (patient(b"<id a='>' %b/>" % b" ".join(b"x%d='<'" % n for n in range(500_000))), "xml-syntax"),
        (patient(b"<id %b/>" % b" ".join(b"xmlns:x%d='u'" % n for n in range(500_000))), "xml-attributes"),
        (patient(b"<id %b/>" % b" ".join(b"xmlns:x%d='u'" % n for n in range(1000))), "xml-namespaces"),
        (patient(b"<id value='1'/>" + b" x" * 2_000_000), "xml-text"),
    ],
    ids=lambda value: value[40:80] if isinstance(value, bytes) else None,
)
def test_deep_and_wide_documents(text: bytes, issue: str) -> None:
    with at_most(40):
        assert refused(text) == issue


@pytest.mark.parametrize(
    "text",
    [
        patient(b"<id value='" + b"x" * 30_000_000 + b"'/>"),
        patient(b"<!--" + b"<" * 30_000_000 + b"--><id value='x'/>"),
        patient(b"<?x " + b"<" * 30_000_000 + b"?><id value='x'/>"),
        patient(b" " * 30_000_000 + b"<id value='x'/>"),
    ],
    ids=["attribute", "comment", "instruction", "blanks"],
)
def test_endless_tokens_are_read_once(text: bytes) -> None:
    """The pieces grow with the token: their number stays small, so that no parser reads the token again and again."""
    reader = Reader(text)
    pieces = sum(1 for _ in reader.steps())
    assert pieces <= 30_000_000 // (64 * 1024) + 2
    if b"<!--" in text or b"<?x" in text or b"xxx" in text:
        assert pieces < 20
    assert reader.json().startswith(b'{"resourceType":"Patient","id":"x')


def test_a_document_that_stops_keeps_no_memory() -> None:
    """Parser and reader know each other; they let go of each other however it ends."""
    import gc

    gc.collect()
    gc.disable()
    try:
        for text in (patient(b"<id value='x'/>"), patient(b"<id>"), patient(b"<x/>")):
            before = len([each for each in gc.get_objects() if type(each) is Reader])
            try:
                from_xml(text)
            except BadRequest:
                text = b""
            assert len([each for each in gc.get_objects() if type(each) is Reader]) == before
    finally:
        gc.enable()


def test_nothing_is_fetched(tmp_path: Path) -> None:
    """A stylesheet, a schema and an XInclude are names and nothing more."""
    secret = tmp_path / "secret"
    secret.write_text("secret")
    text = b"<?xml-stylesheet href='%b'?><Patient %b><xi:include xmlns:xi='http://www.w3.org/2001/XInclude' href='%b'/></Patient>"
    assert refused(text % (str(secret).encode(), NS, str(secret).encode())) == "xml-namespace"
