"""The scopes of an authorize request: what an app may have, what of that the person may give, and why the rest is dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fhir_server.auth import launch_scopes
from fhir_server.auth.clients import Client
from fhir_server.auth.launch_scopes import IDENTITY, INTROSPECT, LAUNCH, OFFLINE, ONLINE
from fhir_server.auth.people import roles
from fhir_server.auth.people.accounts import Account
from fhir_server.auth.reach import shared
from fhir_server.auth.scopes import narrow
from fhir_server.context import Scope

_SYSTEM = (
    "refused: system/ scopes are for backend services (grant_type client_credentials), not for an app with a person"
)
_OURS = "refused: this right belongs to a client itself (grant_type client_credentials)"
_UNREGISTERED = "refused: the client is not registered for it"
_UNKNOWN = "ignored: this server knows no such scope"
_ROLE = "refused: the role of the person who signed in does not include it"
_NOT_A_RESOURCE = "refused: the account of the person who signed in is linked to no FHIR resource"


@dataclass(slots=True)
class Asked:
    """What can be granted so far, in the order it was asked for, and what became of each text that cannot."""

    resources: tuple[Scope, ...] = ()
    special: tuple[str, ...] = ()
    dropped: dict[str, str] = field(default_factory=dict)

    @property
    def scope(self) -> str:
        """What can be granted, as one string."""
        return launch_scopes.written(self.resources, self.special)

    @property
    def wants_patient(self) -> bool:
        """Whether a patient has to be in context (SMART: for `launch/patient`, and for any `patient/` scope)."""
        return bool({"launch/patient", "launch/encounter"} & set(self.special)) or any(
            scope.level == "patient" for scope in self.resources
        )

    @property
    def wants_encounter(self) -> bool:
        """Whether an encounter is asked for."""
        return "launch/encounter" in self.special

    def why(self) -> str:
        """Return a sentence for what was dropped."""
        return "; ".join(f"{text}: {reason}" for text, reason in self.dropped.items())[:1500]


def by_client(client: Client, text: str) -> Asked:
    """Return what the client may ask for; ScopeError when a resource scope is malformed: it is never read by halves."""
    resources, special, unknown = launch_scopes.split(text)
    asked = Asked(dropped=dict.fromkeys(unknown, _UNKNOWN))
    asked.dropped |= {scope.text: _SYSTEM for scope in resources if scope.level == "system"}
    asked.resources, lost = narrow((scope for scope in resources if scope.level != "system"), client.scopes)
    asked.dropped |= lost
    for word in special:
        if reason := _special_refused(client, word, special):
            asked.dropped[word] = reason
        else:
            asked.special += (word,)
    return asked


def _special_refused(client: Client, word: str, all_of_them: tuple[str, ...]) -> str | None:
    if word == INTROSPECT:
        return _OURS
    if word not in client.special and word.partition("?")[0] not in client.special:  # a role is the app's to ask for
        return _UNREGISTERED
    if word == ONLINE and OFFLINE in all_of_them:
        return "left out: offline_access says more"
    if word in IDENTITY - {"openid"} and "openid" not in all_of_them:
        return "left out: it comes with openid"
    return None


def by_person(asked: Asked, account: Account) -> Asked:
    """Return what of it the person can give: a scope never gives more than who grants it has."""
    resources, lost = narrow(asked.resources, roles.rights(account.roles))
    dropped = asked.dropped | {
        text: reason.replace("the client is registered for", "the role of the person allows")
        if "narrowed" in reason
        else _ROLE
        for text, reason in lost.items()
    }
    special = asked.special
    if account.fhir_user is None:
        homeless = [scope.text for scope in resources if not _is_for_anybody(scope, account)]
        homeless += [word for word in special if word == "fhirUser"]
        dropped |= dict.fromkeys(homeless, _NOT_A_RESOURCE)
        resources = tuple(scope for scope in resources if scope.text not in homeless)
        special = tuple(word for word in special if word not in homeless)
    lost_words = [word for word in special if not roles.may_lend(word, account.roles)]
    dropped |= dict.fromkeys(lost_words, _ROLE)
    special = tuple(word for word in special if word not in lost_words)
    return Asked(resources, special, dropped)


def _is_for_anybody(scope: Scope, account: Account) -> bool:
    """Tell whether a scope reaches something without a FHIR resource that stands for the person."""
    return scope.level == "user" and (
        scope.type in roles.unlimited(account.roles) or (scope.type != "*" and shared(scope.type))
    )


def by_context(asked: Asked, context: Mapping[str, Any]) -> Asked:
    """Return what of it the launch can answer: `launch/imagingstudy` only when the EHR has put one into fhirContext."""
    there = {
        str(each.get("reference", "")).partition("/")[0] or each.get("type", "")
        for each in context.get("fhirContext", ())
    }
    known = {f"launch/{type_.lower()}" for type_ in there} - LAUNCH  # which come without a role
    others = [word for word in asked.special if word.startswith("launch/") and word not in LAUNCH]
    lost = {word for word in others if word.partition("?")[0] not in known}
    dropped = asked.dropped | dict.fromkeys(sorted(lost), "left out: nothing of this kind is in context")
    return Asked(asked.resources, tuple(word for word in asked.special if word not in lost), dropped)


def chosen(asked: Asked, kept: frozenset[str]) -> Asked:
    """Return what is left when the person has deselected what is not in `kept`."""
    lost = {scope.text for scope in asked.resources} | set(asked.special)
    dropped = asked.dropped | dict.fromkeys(sorted(lost - kept), "left out by the person who decided")
    resources = tuple(scope for scope in asked.resources if scope.text in kept)
    special = tuple(word for word in asked.special if word in kept)
    if "openid" not in special:
        special = tuple(word for word in special if word not in IDENTITY)
    return Asked(resources, special, dropped)
