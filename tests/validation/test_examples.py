"""Every example instance of R4 is accepted and comes back equal, except those that break R4's own rules."""

import json as stdlib
import tarfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fhir_server.errors import FhirError
from fhir_server.kit import json
from fhir_server.validation.explain import explain
from fhir_server.validation.validate import parse_resource, validate
from tests.r4_examples import all_files, examples
from tests.shared_data import shared

# File -> (id of an issue, why R4 does not allow it). This list may only shrink.
EXCEPTIONS: dict[str, list[str]] = stdlib.loads(Path(__file__).with_name("exceptions.json").read_bytes())


def as_written(value: Any) -> Any:
    """Return a value in which decimals compare by digits and objects by the order of their properties."""
    if isinstance(value, dict):
        return [(key, as_written(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [as_written(item) for item in value]
    return value.as_tuple() if isinstance(value, Decimal) else (type(value), value)


def check(name: str, text: bytes) -> None:
    """Accept an instance, or refuse an exception for the reason that is listed."""
    if name in EXCEPTIONS:
        with pytest.raises(FhirError) as caught:
            parse_resource(text)
        assert EXCEPTIONS[name][0] in {issue.id for issue in caught.value.issues}, name
        return
    resource = parse_resource(text)
    wanted = as_written(stdlib.loads(text, parse_float=Decimal))
    assert as_written(resource) == wanted, name
    assert as_written(stdlib.loads(json.encode(resource), parse_float=Decimal)) == wanted, name


def test_every_example_is_accepted_and_comes_back_equal() -> None:
    instances = examples()
    assert len(instances) == 734
    for name, text in instances.items():
        check(name, text)


def test_the_slow_walk_agrees_with_the_fast_check() -> None:
    for name, text in examples().items():
        if name not in EXCEPTIONS:
            resource = json.decode(text)
            assert explain(resource) == [], name
            assert validate(resource) == [], name


@pytest.mark.slow
def test_every_definition_and_large_bundle_is_accepted_too() -> None:
    for name, text in all_files():
        check(name, text)


def test_every_exception_exists() -> None:
    assert {name for name, _ in all_files()} >= set(EXCEPTIONS)


def test_what_us_core_publishes_is_accepted() -> None:
    with tarfile.open(next(shared("us-core").glob("*.tgz"))) as tar:
        for member in tar.getmembers():
            name = member.name.removeprefix("package/")
            if name.endswith(".json") and Path(name).name[0].isupper() and "other/" not in name:
                parse_resource(tar.extractfile(member).read())


def test_device_examples_are_accepted() -> None:
    texts = [path.read_bytes() for path in shared("ieee-11073-phd").rglob("*.json")]
    resources = [parse_resource(text) for text in texts if b'"resourceType"' in text]
    assert len(resources) == 29
