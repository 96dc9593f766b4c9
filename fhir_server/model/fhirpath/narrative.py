"""The rules for narrative XHTML (R4 §2.4.1): a div with content, basic formatting only, nothing active."""

from __future__ import annotations

from typing import Any

from lxml import etree  # type: ignore[import-untyped]

_XHTML = "{http://www.w3.org/1999/xhtml}"
_ELEMENT_NAMES = (
    "a abbr acronym b big blockquote br caption cite code col colgroup dd dfn div dl dt em h1 h2 h3 h4 h5 h6 hr i img li ol p "
    "pre q samp small span strong sub sup table tbody td tfoot th thead tr tt ul var"
)
_ATTRIBUTE_NAMES = (
    "abbr accesskey align alt axis bgcolor border cellhalign cellpadding cellspacing cellvalign char charoff charset class "
    "cols colspan compact coords dir frame headers height href hreflang hspace id lang longdesc name nowrap rel rev rowspan "
    "rules scope shape span src start style summary tabindex title type valign value vspace width "
    "{http://www.w3.org/XML/1998/namespace}lang {http://www.w3.org/XML/1998/namespace}space"
)
_ELEMENTS = frozenset(_ELEMENT_NAMES.split())
_ATTRIBUTES = frozenset(_ATTRIBUTE_NAMES.split())
_SCHEMES = frozenset({"http", "https", "ftp", "mailto", "tel", "urn"})
_MAX = 1_048_576


def is_narrative(text: str) -> bool:
    """Return whether the text is one XHTML div that keeps to the rules."""
    if len(text) > _MAX or "<!DOCTYPE" in text or "<!ENTITY" in text:
        return False
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError:
        return False
    if root.tag != f"{_XHTML}div":
        return False
    return all(_is_plain(element) for element in root.iter(etree.Element)) and _has_content(root)


def _is_plain(element: Any) -> bool:
    """Return whether an element and its attributes are among those allowed, and its links lead to nothing active."""
    if not str(element.tag).startswith(_XHTML) or str(element.tag).removeprefix(_XHTML) not in _ELEMENTS:
        return False
    if any(str(name) not in _ATTRIBUTES for name in element.attrib):
        return False
    href, src = element.get("href"), element.get("src")
    return _is_passive(href) and (_is_passive(src) or src.replace(" ", "").lower().startswith("data:image/"))


def _is_passive(link: str | None) -> bool:
    """Return whether a link is relative or of a scheme that runs nothing."""
    before, colon, _ = (link or "").partition(":")
    return not colon or "/" in before or "#" in before or before.lower() in _SCHEMES


def _has_content(root: Any) -> bool:
    """Return whether there is text other than white space, or an image."""
    if any(part.strip() for part in root.itertext()):
        return True
    return root.find(f".//{_XHTML}img") is not None
