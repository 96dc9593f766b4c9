"""For `$validate`: a resource against a profile that is stored here, ours or one that somebody brought."""

from __future__ import annotations

import asyncio

from fhir_server.auth import policy
from fhir_server.context import RequestContext
from fhir_server.errors import Issue, NotSupported, Unprocessable
from fhir_server.interactions.call import Json
from fhir_server.search.shelf import Resource, Shelf
from fhir_server.validation.profiled import CORE, Profile, check, profile
from profiles.psych.snapshots import with_snapshot
from terminology.value_set import Library, Members, expand

_UNCHECKED = Issue(
    "informational",
    "profile-unchecked",
    "Slices of this profile, or codes of value sets that are not here, were not checked.",
    severity="information",
)


async def issues(ctx: RequestContext, resource: Json, canonical: str) -> list[Issue]:
    """Return what of a resource of a right shape is against the profile of a canonical URL.

    Raises Unprocessable when no such profile is here for the caller, NotSupported when it has no snapshot and none can be made.
    """
    shelf = Shelf(ctx.tenant)
    found = await shelf.structure(canonical, await policy.visibility(ctx, "StructureDefinition", "read"))
    if found is None:
        text = "There is no StructureDefinition of this URL here: store it first."
        raise Unprocessable(text, "validate-profile-unknown", "profile", code="not-found")
    if found["type"] != resource["resourceType"]:
        text = f"This profile is about {found['type']}."
        return [Issue("invalid", "type-mismatch", text, f"{resource['resourceType']}.resourceType")]
    of = profile(_with_snapshot(found))
    codes = await _codes(ctx, shelf, of)
    wrong = await asyncio.to_thread(check, resource, of, codes)  # thousands of invariants, when a Bundle is large
    return [*wrong, _UNCHECKED] if of.unchecked or None in codes.values() else wrong


def _with_snapshot(structure: Resource) -> Resource:
    """Return the profile with its snapshot; one that constrains a type of R4 directly gets it from our tables."""
    if "snapshot" in structure:
        return structure
    elements = structure.get("differential", {}).get("element", [])
    if structure.get("baseDefinition") == CORE + structure["type"] and not any(
        "sliceName" in each for each in elements
    ):
        try:
            return with_snapshot({"title": structure["url"], **structure})
        except ValueError:
            pass  # it says something of what is inside of a data type
    raise NotSupported(
        "This profile has no snapshot, and none can be made here: store it with one.", "validate-snapshot"
    )


async def _codes(ctx: RequestContext, shelf: Shelf, of: Profile) -> dict[str, Members | None]:
    """Return the members of the value sets that the profile requires; None for what is not here."""
    found: dict[str, Members | None] = dict.fromkeys(of.bindings)
    if found:
        seen = await policy.visibility(ctx, "ValueSet", "read")
        for url in found:
            value_set = await shelf.value_set(url, seen)
            try:
                found[url] = None if value_set is None else expand(value_set, Library())
            except Unprocessable:
                continue  # made of a system or a value set that it would have to be looked up in
    return found
