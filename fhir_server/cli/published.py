"""What a start writes into each tenant: our profiles, code systems, questionnaires, definitions of our operations, alert rules."""

from __future__ import annotations

from collections.abc import Iterator

from fhir_server.cli.tenant import opened
from fhir_server.interactions.call import Json
from fhir_server.interactions.publish import publish
from fhir_server.kit import json
from fhir_server.operations.registry import OPERATIONS
from fhir_server.settings import Settings
from fhir_server.storage import own, reads
from fhir_server.storage.tenants import Tenant
from fhir_server.storage.visibility import EVERYTHING
from profiles.psych.artefacts import artefacts, code_system
from profiles.psych.rules import shipped
from workers.notes.extraction import symptom_codes, symptom_system
from workers.notes.note import SECTIONS, section_system
from workers.twin.crossings import RULES
from workers.twin.features import FEATURES, REASONS

HL7 = "http://hl7.org/"


def artefacts_of(base: str) -> Iterator[Json]:
    """Yield everything that is ours, under one base of canonical URLs."""
    features = [(feature.code, feature.display) for feature in FEATURES]
    features += [
        (f"{feature.code}-deviation", f"Deviation: {feature.display}") for feature in FEATURES if feature.scored
    ]
    features += [(rule.code, rule.display) for rule in RULES] + list(REASONS.items())
    yield from artefacts(features, base)
    yield code_system("note-section", "Sections of notes", SECTIONS, section_system(base), base)
    yield code_system("symptom", "What is found in notes", symptom_codes(), symptom_system(base), base)
    for operation in OPERATIONS:
        if not operation.definition["url"].startswith(HL7):
            yield operation.definition


async def publish_all(settings: Settings) -> int:
    """Bring what is published in every tenant up to date; return how many resources were written."""
    written = 0
    for name in settings.tenants:
        async with opened(settings, name) as tenant:
            await own.load(tenant)
            written += await publish(tenant, artefacts_of(settings.canonical_base))
            written += await publish(tenant, await rules(tenant, settings.canonical_base))
    return written


async def rules(tenant: Tenant, base: str) -> list[Json]:
    """Return the alert rules that this version brings and the tenant has not seen.

    What a site has changed, switched off or deleted stays so: a rule is written when there was none, or in a new version of ours
    with the status that the site gave it.
    """
    rules = {rule["id"]: rule for rule in shipped(base)}
    names = [("PlanDefinition", id_) for id_ in rules]
    there = await reads.read_many(tenant, names, {"PlanDefinition": EVERYTHING})
    wanted = []
    for name in names:
        rule, stored = rules[name[1]], there.get(name)
        if stored is None:
            wanted.append(rule)
        elif not stored.deleted:
            old = json.decode_trusted(stored.body)
            if old.get("version") != rule["version"]:
                wanted.append(rule | {"status": old["status"]})
    return wanted
