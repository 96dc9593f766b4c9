"""What a start writes into each tenant: our profiles, code systems, questionnaires and the definitions of our operations."""

from __future__ import annotations

from collections.abc import Iterator

from fhir_server.cli.tenant import opened
from fhir_server.interactions.call import Json
from fhir_server.interactions.publish import publish
from fhir_server.operations.registry import OPERATIONS
from fhir_server.settings import Settings
from fhir_server.storage import own
from profiles.psych.artefacts import artefacts
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
    return written
