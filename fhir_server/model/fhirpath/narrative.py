"""The rules for narrative XHTML (R4 §2.4.1): a div with content, basic formatting only, nothing active."""

from __future__ import annotations

import re
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
_ACTIVE_NAMES = (
    "applet audio base body button embed form frame frameset head iframe input link meta noscript object option param script "
    "select source style textarea title video"
)
_ACTIVE = frozenset(_ACTIVE_NAMES.split())
_LINKS = ("href", "src", "action", "background", "cite", "formaction", "longdesc", "poster")
_SCHEMES = frozenset({"http", "https", "ftp", "mailto", "tel", "urn"})
_TWO_READINGS = re.compile(r"<!\[CDATA\[|<\?|<!---?>")
_MAX = 1_048_576
_MAX_KEPT = 8 * _MAX


def is_narrative(text: str) -> bool:
    """Return whether the text is one XHTML div that keeps to the rules."""
    root = _root(text)
    return root is not None and _is_basic(root) and _has_content(root)


def is_harmless(text: str) -> bool:
    """Return whether the text is one well-formed XHTML div with nothing active in it, its formatting aside.

    Neither as XML nor as HTML, which a page may take it for: there CDATA, `<?x >` and `<!-->` end sooner, and what follows runs.
    """
    if _TWO_READINGS.search(text):
        return False
    root = _root(text, _MAX_KEPT)
    return root is not None and root.tag == f"{_XHTML}div" and not any(map(_is_active, root.iter(etree.Element)))


def _root(text: str, most: int = _MAX) -> Any:
    """Return the element that the text is; None when it is not well-formed, or would define entities of its own."""
    if len(text) > most or "<!DOCTYPE" in text or "<!ENTITY" in text:
        return None
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        return etree.fromstring(text.encode(), parser)
    except etree.XMLSyntaxError:
        return None


def _is_basic(root: Any) -> bool:
    """Return whether the root is a div, and everything in it plain."""
    return root.tag == f"{_XHTML}div" and all(_is_plain(element) for element in root.iter(etree.Element))


def _is_plain(element: Any) -> bool:
    """Return whether an element and its attributes are among those allowed, and its links lead to nothing active."""
    if not str(element.tag).startswith(_XHTML) or str(element.tag).removeprefix(_XHTML) not in _ELEMENTS:
        return False
    if any(str(name) not in _ATTRIBUTES for name in element.attrib):
        return False
    return not _has_active_link(element)


def _is_active(element: Any) -> bool:
    """Return whether an element or one of its attributes does more than show something."""
    name = str(element.tag)
    if not name.startswith(_XHTML) or name.removeprefix(_XHTML).lower() in _ACTIVE:
        return True
    return any(str(name).lower().startswith("on") for name in element.attrib) or _has_active_link(element)


def _has_active_link(element: Any) -> bool:
    """Return whether a link of the element leads to something that runs; images may stand in the text itself."""
    src = (element.get("src") or "").replace(" ", "").lower()
    names = [name for name in _LINKS if name != "src" or not src.startswith("data:image/")]
    return not all(_is_passive(element.get(name)) for name in names)


def _is_passive(link: str | None) -> bool:
    """Return whether a link is relative or of a scheme that runs nothing."""
    before, colon, _ = (link or "").partition(":")
    return not colon or "/" in before or "#" in before or before.lower() in _SCHEMES


def _has_content(root: Any) -> bool:
    """Return whether there is text other than white space, or an image."""
    if any(part.strip() for part in root.itertext()):
        return True
    return root.find(f".//{_XHTML}img") is not None
