"""References: parse, classify, find, check and rewrite them (R4 `references.html`; `http.html#trules`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from fhir_server.errors import Issue
from fhir_server.model.walk import objects
from profiles.registry import R4

_LOCAL = re.compile(r"([A-Z][A-Za-z]{1,63})/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?")
_CONDITIONAL = re.compile(r"([A-Z][A-Za-z]{1,63})\?(\S+)")
_URN = re.compile(r"urn:[a-z0-9][a-z0-9-]{0,31}:\S+", re.IGNORECASE)
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+")
_CONTAINED = re.compile(r"#([A-Za-z0-9\-.]{0,64})")


@dataclass(frozen=True, slots=True)
class Local:
    """A reference to a resource of this server."""

    type: str
    id: str
    version: str | None = None

    def __str__(self) -> str:
        tail = f"/_history/{self.version}" if self.version else ""
        return f"{self.type}/{self.id}{tail}"


@dataclass(frozen=True, slots=True)
class Absolute:
    """A reference to something on another server; the type is the last but one segment when that names one."""

    url: str
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Urn:
    """`urn:uuid:…` or `urn:oid:…`: another entry of the same Bundle, or a name without an address."""

    text: str


@dataclass(frozen=True, slots=True)
class Contained:
    """`#id`: a contained resource, or with an empty id the container itself."""

    id: str


@dataclass(frozen=True, slots=True)
class Conditional:
    """`Type?criteria`: resolved by search, inside a transaction only."""

    type: str
    query: str


ParsedReference = Local | Absolute | Urn | Contained | Conditional


def parse_reference(text: str, base: str = "") -> ParsedReference | None:
    """Classify the value of Reference.reference; None when it is none of the forms that R4 knows."""
    if local := _LOCAL.fullmatch(text):
        return Local(local[1], local[2], local[3]) if R4.is_type(local[1]) else None
    if text.startswith("#"):
        return Contained(fragment[1]) if (fragment := _CONTAINED.fullmatch(text)) else None
    if conditional := _CONDITIONAL.fullmatch(text):
        return Conditional(conditional[1], conditional[2]) if R4.is_type(conditional[1]) else None
    if base and text.startswith(base + "/"):
        return parse_reference(text[len(base) + 1 :])
    if text[:4].lower() == "urn:":
        return Urn(text) if _URN.fullmatch(text) else None
    return Absolute(text, _type_of_url(text)) if _ABSOLUTE.fullmatch(text) else None


def _type_of_url(url: str) -> str | None:
    segments = url.split("?")[0].split("#")[0].split("/_history/")[0].rsplit("/", 2)
    return segments[1] if len(segments) == 3 and R4.is_type(segments[1]) else None


# ---- finding: one walk that knows the allowed targets of every Reference it passes ----

Found = tuple[dict[str, Any], tuple[str, ...]]
"""A dict with a `reference` and the resource types that its place allows; () = any."""

Steps = Mapping[str, tuple[str, tuple[str, ...]]]
"""JSON property that holds objects, the `_x` beside primitives too -> (path below it, allowed targets)."""

_EVERYTHING = ("Resource", "Reference")


@cache
def _steps(path: str) -> Steps:
    """Return what a walk that goes everywhere needs to know at `path`; what a kept Bundle holds is the Bundle's own."""
    if path == "Bundle.entry":
        return {}
    return {name: (child.path_of_type, child.targets) for name, child in objects(path).items()}


@cache
def _bearing_steps(path: str) -> Steps:
    """Return the steps behind which a Reference can stand without an extension in between."""
    return {name: step for name, step in _steps(path).items() if _bears(step[0])}


@cache
def _bears(path: str) -> bool:
    reached, open_ = {path}, [path]
    while open_:
        at = open_.pop()
        if at in _EVERYTHING:
            return True
        below = {step[0] for name, step in _steps(at).items() if name not in ("extension", "modifierExtension")}
        open_ += below - reached
        reached |= below
    return False


def _collect(
    node: dict[str, Any], path: str, allowed: tuple[str, ...], steps_at: Callable[[str], Steps], found: list[Found]
) -> None:
    if path == "Reference":
        if "reference" in node:
            found.append((node, allowed))
    elif path == "Resource":
        path = node["resourceType"]
    steps = steps_at(path)
    for name, value in node.items():
        step = steps.get(name)
        if step is None:
            continue
        if type(value) is dict:
            _collect(value, step[0], step[1], steps_at, found)
        elif type(value) is list:
            for item in value:
                if type(item) is dict:
                    _collect(item, step[0], step[1], steps_at, found)


def find_references(resource: dict[str, Any], text: bytes | None = None) -> list[Found]:
    """Return every dict of the resource that has a `reference`, contained resources and extensions included.

    Not those inside a Bundle that is kept as a resource: they are resolved by the fullUrls beside them (R4
    `bundle.html#references`), so what was sent stays as it is.
    `text` is the JSON that the resource was decoded from: when no extension in it holds a reference, most of the
    resource need not be looked into.
    """
    found: list[Found] = []
    shallow = text is not None and b"valueReference" not in text and b"\\u" not in text
    _collect(resource, resource["resourceType"], (), _bearing_steps if shallow else _steps, found)
    return found


def walk_references(resource: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (FHIRPath expression, dict with a `reference`) for every reference of the resource."""
    yield from _walk(resource, resource["resourceType"], resource["resourceType"])


def _walk(node: dict[str, Any], path: str, where: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if path == "Reference" and "reference" in node:
        yield where, node
    path = node.get("resourceType", path)
    for name, value in node.items():
        if type(value) is dict:
            yield from _walk(value, _below(path, name), f"{where}.{name}")
        elif type(value) is list:
            for position, item in enumerate(value):
                if type(item) is dict:
                    yield from _walk(item, _below(path, name), f"{where}.{name}[{position}]")


def _expression(resource: dict[str, Any], holder: dict[str, Any]) -> str:
    """Return where `holder` is; only called for a reference that is refused."""
    return next((path for path, node in walk_references(resource) if node is holder), resource["resourceType"])


def settle_references(
    resource: dict[str, Any], base: str, *, conditional: bool = False, found: Sequence[Found] | None = None
) -> list[Issue]:
    """Check each reference and make those to our own base relative; `conditional` allows `Type?criteria`.

    `found` is what `find_references` has returned, where it was asked already.
    """
    issues = []
    for holder, allowed in find_references(resource) if found is None else found:
        text = holder["reference"]
        parsed = parse_reference(text, base)
        if isinstance(parsed, Local) and text.startswith(base + "/"):
            holder["reference"] = str(parsed)
        problem = _problem(parsed, allowed, conditional=conditional)
        if problem:
            code, sentence = problem
            issues.append(Issue("value", code, sentence, f"{_expression(resource, holder)}.reference"))
    return issues


def _problem(parsed: ParsedReference | None, allowed: tuple[str, ...], *, conditional: bool) -> tuple[str, str] | None:
    if parsed is None:
        forms = "Type/id, an absolute URL, urn:uuid:…, urn:oid:… or #id"
        return "reference-malformed", f"This is not a reference that R4 knows; write {forms}."
    if isinstance(parsed, Conditional) and not conditional:
        return "reference-conditional", "Conditional references (Type?criteria) are resolved inside transactions only."
    target = parsed.type if isinstance(parsed, Local | Absolute | Conditional) else None
    if target and allowed and target not in allowed:
        return "reference-target", f"This element may refer to {' or '.join(allowed)}, not to {target}."
    return None


# ---- rewriting, for the entries of a transaction ----

_LINKS = re.compile(r"""(<(?:a|img)\b[^>]*?\b(?:href|src)\s*=\s*)(["'])([^"']*)\2""")
_REWRITTEN_TYPES = frozenset({"uri", "url", "oid", "uuid"})


def rewrite(
    resource: dict[str, Any],
    mapping: Mapping[str, str],
    found: Sequence[Found] | None = None,
    versions: Mapping[str, int] | None = None,
) -> list[str]:
    """Replace what `mapping` names in references; return urn:uuid left over. A reference to a version stays one (`#trules`).

    `found` is what `find_references` has returned; `rewrite_links` need only be asked where a name stands elsewhere. `versions` are
    those that the new names get.
    """
    missing: list[str] = []
    for holder, _ in find_references(resource) if found is None else found:
        holder["reference"] = _replace_reference(holder["reference"], mapping, missing, versions or {})
    return missing


def only_urns(mapping: Mapping[str, str]) -> bool:
    """Tell whether every name of the mapping is a urn:uuid: what `names_elsewhere` asks, once for all entries of a Bundle."""
    return all(name.startswith("urn:uuid:") for name in mapping)


def names_elsewhere(text: bytes, found: Sequence[Found], *, urns: bool) -> bool:
    """Tell whether the JSON may hold names of a mapping in other places than its references; `urns` is `only_urns` of it."""
    if not urns:
        return True
    in_references = sum(holder["reference"].startswith("urn:uuid:") for holder, _ in found)
    return text.count(b"urn:uuid:") > in_references or b"\\u" in text


def rewrite_links(resource: dict[str, Any], mapping: Mapping[str, str]) -> None:
    """Replace what `mapping` names in url-like elements and in the links of narratives; a kept Bundle stays as it is."""
    if resource["resourceType"] == "Bundle":
        return
    _rewrite(resource, resource["resourceType"], mapping)


def _rewrite(node: dict[str, Any], path: str, mapping: Mapping[str, str]) -> None:
    path = node.get("resourceType", path)
    for name, value in node.items():
        kind = type(value)
        if kind is str:
            if name == "div":
                node[name] = _rewrite_narrative(value, mapping)
            elif value in mapping and _is_link(path, name):
                node[name] = mapping[value]
        elif kind is dict:
            _rewrite(value, _below(path, name), mapping)
        elif kind is list:
            _rewrite_list(value, path, name, mapping)


def _rewrite_list(values: list[Any], path: str, name: str, mapping: Mapping[str, str]) -> None:
    below = _below(path, name)
    for position, item in enumerate(values):
        if type(item) is dict:
            _rewrite(item, below, mapping)
        elif type(item) is str and item in mapping and _is_link(path, name):
            values[position] = mapping[item]


def _below(path: str, name: str) -> str:
    return _steps(path).get(name, ("", ()))[0]


def _is_link(path: str, name: str) -> bool:
    child = R4.json_children(path).get(name) if path else None
    return child is not None and child.type_code in _REWRITTEN_TYPES


def versioned(found: Sequence[Found], mapping: Mapping[str, str]) -> set[str]:
    """Return what of the new names references name a version of."""
    texts = (holder["reference"] for holder, _ in found if "/_history/" in holder["reference"])
    return {mapping[name] for text in texts if (name := text.split("/_history/")[0]) in mapping}


def _replace_reference(text: str, mapping: Mapping[str, str], missing: list[str], versions: Mapping[str, int]) -> str:
    if text in mapping:
        return mapping[text]
    stem, _, fragment = text.partition("#")
    if fragment and stem in mapping:
        return f"{mapping[stem]}#{fragment}"
    if "/_history/" in text and (unversioned := text.split("/_history/")[0]) in mapping:
        name = mapping[unversioned]
        return f"{name}/_history/{versions[name]}" if name in versions else name
    if text.startswith("urn:uuid:"):
        missing.append(text)
    return text


def _rewrite_narrative(div: str, mapping: Mapping[str, str]) -> str:
    if "href" not in div and "src" not in div:
        return div
    return _LINKS.sub(lambda m: f"{m[1]}{m[2]}{mapping.get(m[3], m[3])}{m[2]}", div)
