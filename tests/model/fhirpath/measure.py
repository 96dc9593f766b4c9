"""Measures extraction: `python -m tests.model.fhirpath.measure` prints microseconds for all search parameters of a type."""

from timeit import repeat
from typing import Any

from fhir_server.model.fhirpath import extractor
from profiles.registry import R4
from tests.model.fhirpath.instances import by_type

LOOPS = 2_000


def microseconds(type_: str, resource: dict[str, Any]) -> tuple[float, int]:
    """Return the time to run every extractor of the type once, the best of five, and how many extractors that is."""
    run = [extractor(param.expression, type_) for param in R4.params(type_).values() if param.expression]
    best = min(repeat(lambda: [extract(resource) for extract in run], number=LOOPS, repeat=5))
    return best / LOOPS * 1e6, len(run)


if __name__ == "__main__":
    for name in ("Observation", "Patient", "Encounter", "Condition", "MedicationRequest"):
        total, count = microseconds(name, by_type()[name][0])
        print(f"{name}: {count} parameters in {total:.1f} us, {total / count:.2f} us each")
