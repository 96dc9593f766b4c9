"""Does a page only show something? Read as browsers read it: the tree of HTML, not its text."""

from __future__ import annotations

from typing import Any

from lxml import html

from fhir_server.http.browse.shell import _SCRIPT, _STYLE

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</pre></style><svg onload=alert(1)>",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "//evil.example/x",
    "/\\evil.example/x",
    'http://evil.example/" onclick="alert(1)',
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "<!--<script>--!><script>alert(1)</script>",
    "\u2028<iframe srcdoc='<script>alert(1)</script>'>",
)
_ELEMENT_NAMES = (
    "html head meta title style body a header nav form button main h1 h2 p div details summary dl dt dd table thead tbody tfoot "
    "tr th td caption section footer script pre code ul li span br b i em strong img input label ol u hr h3 h4 blockquote"
)
_ELEMENTS = frozenset(_ELEMENT_NAMES.split())
_LEADS = ("/", "#", "http://", "https://", "mailto:", "tel:")


def tree(page: bytes | str) -> Any:
    return html.document_fromstring(page if isinstance(page, str) else page.decode())


def assert_inert(page: bytes | str) -> Any:
    """Fail when anything of a page could run or ask another site; return its tree."""
    root = tree(page)
    scripts = root.findall(".//script")
    assert [script.text for script in scripts] == [_SCRIPT]
    assert not scripts[0].attrib
    assert [style.text for style in root.findall(".//style")] == [_STYLE]
    for element in root.iter():
        if not isinstance(element.tag, str):
            raise AssertionError("a comment or instruction")
        assert element.tag in _ELEMENTS, element.tag
        for name, value in element.attrib.items():
            assert not name.startswith("on"), name
            assert name not in ("style", "srcdoc", "formaction", "background", "ping"), name
            if name == "src":
                assert value.startswith("data:image/"), value
            if name in ("href", "action"):
                assert value.lower().startswith(_LEADS), value
                assert not value.startswith(("//", "/\\")), value
    for form in root.findall(".//form"):
        assert form.get("action", "").startswith("/"), form.get("action")
    return root
