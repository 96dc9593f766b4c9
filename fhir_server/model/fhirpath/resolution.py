"""`resolve()`: contained resources, entries of the same Bundle, then the server's own resolver (R4 fhirpath.html)."""

from __future__ import annotations

from typing import Any

from fhir_server.model.fhirpath.runtime import Scope
from fhir_server.model.fhirpath.types import Collection, Node, member, root_node
from fhir_server.model.fhirpath.variables import container


def resolve(scope: Scope, items: Collection) -> Collection:
    """Return the targets of References and of texts that are one; what cannot be found is left out."""
    out: Collection = []
    for item in items:
        text = _text(item)
        if text is not None:
            scope.charge(1)
            found = _find(scope, text, item)
            if found is not None:
                out.append(found)
    return out


def _text(item: Any) -> str | None:
    raw = item.raw if type(item) is Node else item
    if type(raw) is dict:
        raw = raw.get("reference")
    return raw if type(raw) is str else None


def _find(scope: Scope, text: str, item: Any) -> Node | None:
    top = item.root() if type(item) is Node and item.parent is not None else container(scope)
    if text.startswith("#"):
        return _contained(item, top, text[1:])
    if top.type == "Bundle":
        entry = _entry(scope, top, item, text)
        if entry is not None:
            return entry
    if scope.services.resolve is None:
        return None
    found = scope.services.resolve(text)
    return None if found is None else root_node(found, None)


def _contained(item: Any, top: Node, wanted: str) -> Node | None:
    """Return the resource contained beside the reference, or the container for `#`."""
    holder = item.resource() if type(item) is Node and item.parent is not None else top
    if holder.key == "contained" and holder.parent is not None:
        holder = holder.parent
    if not wanted:
        return holder
    found: Collection = []
    member(holder, "contained", found)
    return next((node for node in found if type(node.raw) is dict and node.raw.get("id") == wanted), None)


def _entry(scope: Scope, bundle: Node, item: Any, text: str) -> Node | None:
    """Return the resource of the entry whose fullUrl, or type and id, the reference names."""
    entries: Collection = []
    member(bundle, "entry", entries)
    scope.charge(len(entries))
    base = _base(item)
    wanted = text.partition("/_history/")[0]
    for entry in entries:
        url = entry.raw.get("fullUrl")
        if type(url) is str and (url == wanted or (base is not None and url == base + wanted)):
            found: Collection = []
            member(entry, "resource", found)
            return found[0] if found else None
    return None


def _base(item: Any) -> str | None:
    """Return the server base of the entry that a relative reference is in: its fullUrl without type and id."""
    node = item if type(item) is Node else None
    while node is not None and node.path != "Bundle.entry":
        node = node.parent
    url = None if node is None else node.raw.get("fullUrl")
    if type(url) is not str or url.startswith("urn:"):
        return None
    return "/".join(url.split("/")[:-2]) + "/"
