"""The code systems and value sets of R4 in their own shape, without what is only to be read: codes, hierarchy, composition."""

from __future__ import annotations

from typing import Any

from profiles.build_steps.package import Definition, Package

_HIERARCHY = frozenset({"parent", "child", "subsumedBy"})
"""Properties that say what is above or below, beside the nesting of concepts."""


def compile_code_systems(package: Package) -> dict[str, Definition]:
    """Return the code systems whose codes the package has, by URL."""
    found = [
        d for d in package.by_type["CodeSystem"] if d.get("content") in ("complete", "fragment") and "concept" in d
    ]
    return {
        each["url"]: {
            "version": each.get("version", ""),
            "content": each["content"],
            "concept": [_concept(concept) for concept in each["concept"]],
        }
        for each in sorted(found, key=lambda each: str(each["url"]))
    }


def _concept(concept: Definition) -> Definition:
    out: Definition = {"code": concept["code"]}
    kept = [p for p in concept.get("property", ()) if p["code"] in _HIERARCHY and "valueCode" in p]
    if kept:
        out["property"] = [{"code": p["code"], "valueCode": p["valueCode"]} for p in kept]
    if "concept" in concept:
        out["concept"] = [_concept(inner) for inner in concept["concept"]]
    return out


def compile_value_sets(package: Package) -> dict[str, Definition]:
    """Return how each value set is composed, by URL."""
    return {
        each["url"]: {"version": each.get("version", ""), "compose": _compose(each["compose"])}
        for each in sorted(package.by_type["ValueSet"], key=lambda each: str(each["url"]))
        if "compose" in each
    }


def _compose(compose: Definition) -> Definition:
    return {part: [_include(each) for each in compose[part]] for part in ("include", "exclude") if part in compose}


def _include(include: Definition) -> dict[str, Any]:
    out: dict[str, Any] = {name: include[name] for name in ("system", "filter", "valueSet") if name in include}
    if "concept" in include:
        out["concept"] = [{"code": concept["code"]} for concept in include["concept"]]
    return out
