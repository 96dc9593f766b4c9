"""Who may see and write what, said plainly about a small world: the oracle of `auth/policy.py`.

Nothing is shared with `auth`: a scope is read here by cutting its text, a resource is judged one at a time, and types are in lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

LAB: Final = "urn:c|lab"
LETTERS: Final = {
    "read": "r",
    "vread": "r",
    "search-type": "s",
    "create": "c",
    "update": "u",
    "patch": "u",
    "delete": "d",
}
TO_BE_READ: Final = frozenset({"read", "vread", "search-type"})
IN_COMPARTMENT: Final = frozenset({"Patient", "Observation", "Provenance", "AuditEvent"})
ABOUT_THEM: Final = frozenset({"Device", "Task"})
DIRECTORY: Final = frozenset({"Practitioner", "Organization"})
NOBODY_CAN_SAY: Final = frozenset({"Bundle", "Subscription"})
TYPES: Final = sorted(IN_COMPARTMENT | ABOUT_THEM | DIRECTORY | NOBODY_CAN_SAY)


@dataclass(frozen=True)
class Who:
    """Whom a token names, and what is known of them: whom they care for, whose record they opened in an emergency."""

    patient: str | None = None
    user: str | None = None
    account: bool = False
    itself: bool = False
    unlimited: frozenset[str] = frozenset()
    cares: frozenset[str] = frozenset()
    everybody: bool = False
    opened: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Thing:
    """A resource: whose record it is in (or whom it names, outside of records), and what else decides."""

    type: str
    id: str
    of: frozenset[str] = frozenset()
    lab: bool = False
    owner: str | None = None
    software: bool = False
    note: bool = False
    targets: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()
    """Whom a Patient calls their practitioner."""
    unseen: bool = False
    """It tells of something that its writer does not see."""


World = dict[str, Thing]


def _scopes(text: str, type_: str, interaction: str) -> list[tuple[str, bool]]:
    """Return level and whether it is for laboratory alone, of each scope that speaks of this."""
    found = []
    for scope in text.split():
        level, _, rest = scope.partition("/")
        what, _, filter_ = rest.partition("?")
        kind, _, letters = what.partition(".")
        if kind in ("*", type_) and LETTERS[interaction] in letters:
            found.append((level, bool(filter_)))
    return found


def _opens(level: str, who: Who, type_: str) -> bool:
    """Tell whether a level gives anything of a type."""
    if level == "system":
        return True
    if level == "patient":
        return who.patient is not None and type_ in IN_COMPARTMENT
    if type_ in who.unlimited or type_ in DIRECTORY:
        return True
    return who.user is not None and (type_ not in NOBODY_CAN_SAY or type_ == "Subscription")


def opens(scopes: str, who: Who, type_: str, interaction: str) -> bool:
    """Tell whether the token may do that with the type at all; if not it is told so (403)."""
    oneself = who.itself and LETTERS[interaction] == "r" and who.user is not None and who.user.startswith(f"{type_}/")
    return oneself or any(_opens(level, who, type_) for level, _ in _scopes(scopes, type_, interaction))


def _reaches(level: str, who: Who, thing: Thing, interaction: str) -> bool:
    if level == "system":
        return True
    if level == "patient":
        return who.patient in thing.of and (not who.account or who.everybody or who.patient in who.cares)
    if thing.type in who.unlimited or thing.type in DIRECTORY:
        return True
    if thing.type == "Subscription":
        return thing.owner == who.user
    if thing.software and LETTERS[interaction] in "rs":
        return True
    return who.everybody or bool(thing.of & who.cares)


def _by_scopes(scopes: str, who: Who, interaction: str, thing: Thing) -> bool:
    if who.itself and LETTERS[interaction] == "r" and who.user == f"{thing.type}/{thing.id}":
        return True
    for level, lab_alone in _scopes(scopes, thing.type, interaction):
        if lab_alone and not thing.lab:
            continue
        if _opens(level, who, thing.type) and _reaches(level, who, thing, interaction):
            return True
        if interaction in TO_BE_READ and thing.type in IN_COMPARTMENT - {"AuditEvent"} and not thing.note:
            mine = who.opened & thing.of
            if level != "system" and mine and (level == "user" or who.patient in mine):
                return True
    return False


def sees(world: World, scopes: str, who: Who, interaction: str, thing: Thing) -> bool:
    """Tell whether the token reaches a resource by an interaction; of what it tells nothing may be hidden."""
    if not opens(scopes, who, thing.type, interaction) or not _by_scopes(scopes, who, interaction, thing):
        return False
    if thing.type == "AuditEvent" and LETTERS[interaction] in "ud":
        return False
    if thing.type != "Provenance":
        return True
    service = any(level == "system" for level, _ in _scopes(scopes, "Provenance", interaction))

    def told(name: str) -> bool:
        if name not in world:
            return service
        if service and not _scopes(scopes, world[name].type, "read"):
            return True
        return _by_scopes(scopes, who, "read", world[name])

    return all(told(name) for name in thing.targets)


def writes(scopes: str, who: Who, interaction: str, new: Thing) -> bool:
    """Tell whether new content may be written: only into records that are the token's, not even beside one that is."""
    if new.type == "AuditEvent" and who.account:
        return False
    return any(
        _opens(level, who, new.type) and (new.lab or not lab_alone) and _owns(level, who, new)
        for level, lab_alone in _scopes(scopes, new.type, interaction)
    )


def _owns(level: str, who: Who, new: Thing) -> bool:
    if level == "system":
        return True
    if new.unseen:
        return False
    if level == "patient":
        return new.of == {who.patient} and (not who.account or who.everybody or who.patient in who.cares)
    if new.type in who.unlimited or new.type in DIRECTORY:
        return True
    if new.type == "Subscription":
        return new.owner == who.user
    if who.everybody or (new.of and new.of <= who.cares):
        return True
    return new.type == "Patient" and new.of - who.cares == {new.id} and who.user in new.names
