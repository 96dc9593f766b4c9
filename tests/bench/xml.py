"""XML: microseconds for an Observation, MB/s for a Bundle of a thousand; CPU time, so that neighbours do not count."""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from timeit import repeat
from typing import Any

from fhir_server.kit import json
from fhir_server.model.xml.read import from_xml
from fhir_server.model.xml.write import to_xml
from tests.bench.create import observation

LOOPS, ROUNDS, ENTRIES = 200, 5, 1000


def measure() -> dict[str, Any]:
    """Return the best of five rounds of each; `json_us` is what decoding the same Observation as JSON costs."""
    one = json.encode(observation("p", 1))
    entry = {"fullUrl": "http://x/Observation/1", "resource": json.decode(one)}
    many = json.encode({"resourceType": "Bundle", "type": "searchset", "entry": [entry] * ENTRIES})
    small, large = to_xml(one), to_xml(many)
    return {
        "observation_write_us": round(_best(lambda: to_xml(one), LOOPS), 1),
        "observation_read_us": round(_best(lambda: from_xml(small), LOOPS), 1),
        "observation_json_us": round(_best(lambda: json.decode_compact(one), LOOPS), 1),
        "bundle_write_mb_s": round(len(large) / _best(lambda: to_xml(many), 1), 1),
        "bundle_read_mb_s": round(len(large) / _best(lambda: from_xml(large), 1), 1),
    }


def _best(run: Callable[[], Any], loops: int) -> float:
    return min(repeat(run, number=loops, repeat=ROUNDS, timer=process_time)) / loops * 1e6
