"""A patch document of either kind, and what it makes of a resource: same type, same id, no narrative that is no longer true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fhir_server.errors import Unprocessable
from fhir_server.kit import json
from fhir_server.model.patch import fhirpath_patch, json_patch

Json = dict[str, Any]

_NOT_TOLD = frozenset({"id", "meta", "implicitRules", "_implicitRules", "language", "_language", "text"})
"""Elements that a narrative does not tell."""


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch that was understood; it may be applied any number of times."""

    _perform: Callable[[Json], Any]

    def apply(self, body: bytes) -> Json:
        """Return the resource that `body` becomes, its shape not yet checked; Unprocessable says what cannot be done."""
        before: Json = json.decode_trusted(body)
        after = self._perform(json.decode_trusted(body))
        if not isinstance(after, dict):
            raise Unprocessable(
                "The patch leaves something that is no resource.", "patch-result", before["resourceType"]
            )
        for name in ("resourceType", "id"):
            if after.get(name) != before.get(name):
                text = f"A patch cannot change {name}: it stays the same resource."
                raise Unprocessable(text, "patch-identity", f"{before['resourceType']}.{name}")
        _settle_narrative(before, after)
        return after


def json_patch_of(document: Any) -> Patch:
    """Return the patch of a decoded JSON Patch document; BadRequest when it cannot be understood."""
    operations = json_patch.read_operations(document)

    def perform(resource: Json) -> Any:
        patching = json_patch.apply(resource, operations, root=resource["resourceType"])
        json_patch.drop_emptied(patching)
        return patching.document

    return Patch(perform)


def fhirpath_patch_of(parameters: Json) -> Patch:
    """Return the patch of a valid Parameters resource; BadRequest when it cannot be understood."""
    operations = fhirpath_patch.read_operations(parameters)

    def perform(resource: Json) -> Json:
        fhirpath_patch.apply(resource, operations)
        return resource

    return Patch(perform)


def _settle_narrative(before: Json, after: Json) -> None:
    """Keep the narrative from saying what the data no longer say (R4 `http.html#patch`: it must not become unsafe).

    One that was generated from the data goes when they change; one with more in it than the data is the author's to change.
    """
    text = before.get("text")
    if text is None or after.get("text") != text or _told(before) == _told(after):
        return
    if text.get("status") == "additional":
        sentence = "The narrative says more than the data, and a patch that changes the data must change it too (or remove it)."
        raise Unprocessable(sentence, "patch-narrative", f"{before['resourceType']}.text")
    if text.get("status") != "empty":
        del after["text"]


def _told(resource: Json) -> Json:
    return {name: value for name, value in resource.items() if name not in _NOT_TOLD}
