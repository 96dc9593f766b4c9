"""Scopes in plain words: what a person is asked to allow."""

from __future__ import annotations

import re

from fhir_server.auth import launch_scopes
from fhir_server.auth.reach import owned, shared
from fhir_server.context import Scope

_VERBS = {"r": "read", "s": "search", "c": "add", "u": "change", "d": "delete"}
_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])")
_NAMES = {
    "Patient": "name, date of birth and contact data",
    "Observation": "measurements and findings",
    "Condition": "diagnoses and problems",
    "MedicationRequest": "prescriptions",
    "MedicationStatement": "medicines taken",
    "AllergyIntolerance": "allergies",
    "Encounter": "visits",
    "DocumentReference": "documents",
    "DiagnosticReport": "reports of examinations",
    "CarePlan": "care plans",
    "CareTeam": "care teams",
    "QuestionnaireResponse": "answers to questionnaires",
    "AuditEvent": "who has used the record",
    "Practitioner": "who works here",
}
_SPECIAL = {
    "launch": (
        "Know what was open when you started the app",
        "The patient, the visit and what else was in front of you.",
    ),
    "launch/patient": (
        "Know which patient was chosen",
        "Only which one; what it may see of the record is listed apart.",
    ),
    "launch/encounter": ("Know which visit was chosen", "Only which one."),
    "openid": ("Know that it is you", "The app learns that you signed in, and a number that stands for you here."),
    "fhirUser": (
        "Know who you are",
        "The app learns which entry of this server is yours, and can read your name there.",
    ),
    "profile": ("Know who you are", "The app learns which entry of this server is yours."),
    launch_scopes.START_LAUNCH: (
        "Open other apps for you",
        "With a patient already chosen, as a clinical system does. Each app still asks you what it may have.",
    ),
    launch_scopes.ADMIN: (
        "Manage people and apps for you",
        "It can add, change and disable accounts, give roles, and register and remove apps, as you can.",
    ),
    launch_scopes.ALERT_RULES: (
        "Decide for you which alert rules are in effect",
        "It can put rules into effect, change and end them, for all patients of this server, as you can.",
    ),
    launch_scopes.OFFLINE: (
        "Keep its access while you are away",
        (
            "The app can use all that is ticked here after you have closed it, day and night, until you take it back (on the"
            " page “Your apps”) or do not use the app for half a year. Without this it has access for an hour at most."
        ),
    ),
    launch_scopes.ONLINE: (
        "Keep its access while you are signed in",
        "The app can renew its access until you sign out here, twelve hours at most.",
    ),
}


def of_special(word: str) -> tuple[str, str]:
    """Return a heading and an explanation of a scope that names no resources."""
    return _SPECIAL.get(word, ("Know what else was open when you started the app", word.partition("/")[2] or word))


def of_resource(scope: Scope) -> tuple[str, str]:
    """Return a heading and an explanation of a resource scope."""
    verbs = [_VERBS[letter] for letter in scope.letters]
    what = "everything in the record" if scope.type == "*" else _named(scope.type)
    return f"{_listed(verbs).capitalize()} {what}", _whose(scope) + _only(scope)


def _named(type_: str) -> str:
    return _NAMES.get(type_, _WORDS.sub(" ", type_).lower())


def _whose(scope: Scope) -> str:
    if scope.level == "patient":
        return "Of the chosen patient only."
    if owned(scope.type):
        return "Your own: the app is told of what changes, as far as you may see it, while it has your access."
    if scope.type != "*" and shared(scope.type):
        return "As far as you may see it yourself; it is about no patient."
    return "Of everybody whose record you may see yourself."


def _only(scope: Scope) -> str:
    """Return what the filters of a scope leave, in the words that the app used."""
    if not scope.filters:
        return ""
    parts = [
        f"{name} {' or '.join(value.rpartition('|')[2] or value for value in values)}" for name, values in scope.filters
    ]
    return f" Only where {' and '.join(parts)}."


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
