"""Run the tests of the policy compiler against faults in it, and write down how many they notice.

`python -m tests.mutation --most 10 --write` tries 10 faults of each module, chosen by a fixed seed; without `--most` all of them.
First the tests run once without a fault, and what each comes by is noted. A fault is then shown to the tests that come by its
statement, those first that noticed others of its module, until one fails (in a function that keeps its answers, to all that come
by its module). What stands in `equivalents.py` is not tried. A fault counts as noticed when a test fails, or when the tests take
so long that they never end. One PostgreSQL serves all runs, each with a database of its own, copied from one that is migrated.
What came of each fault stands in `--log` at once: whoever starts again with the same file goes on where the last run stopped;
`--again` tries once more what survived there; `--test FILE` shows it to those tests alone, for it was shown to the others before.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.mutation import patch, plugin, runs
from tests.mutation.equivalents import EQUIVALENT
from tests.mutation.mutants import Place, places
from tests.mutation.patch import ROOT, source_of
from tests.mutation.plugin import Reached, Tests

PAGE = ROOT / "docs" / "conformance" / "mutation.md"
MODULES = (
    "fhir_server.storage.visibility",
    "fhir_server.storage.layout",
    "fhir_server.auth.consent.compiled",
    "fhir_server.auth.consent.rules",
    "fhir_server.auth.consent.known",
    "fhir_server.auth.consent.callers",
    "fhir_server.auth.labels",
    "fhir_server.auth.policy",
    "fhir_server.auth.granted",
    "fhir_server.auth.belonging",
    "fhir_server.auth.glass",
    "fhir_server.auth.reach",
    "fhir_server.auth.traced",
    "fhir_server.auth.care",
)
"""What decides who sees what."""
TESTS = (
    "tests/auth/test_policy_oracle.py",
    "tests/auth/test_consent_oracle.py",
    "tests/auth/test_consent_rules.py",
    "tests/auth/test_consent.py",
    "tests/auth/test_consents_together.py",
    "tests/auth/test_unnoticed.py",
    "tests/auth/test_labels.py",
    "tests/auth/test_policy.py",
    "tests/auth/test_care.py",
    "tests/auth/test_traced.py",
    "tests/auth/test_include_attacks.py",
    "tests/auth/test_hop_attacks.py",
    "tests/operations/test_break_glass.py",
    "tests/operations/test_aggregate.py",
    "tests/search/test_compartment.py",
    "tests/storage/test_layout.py",
    "tests/subscriptions/test_people.py",
)
"""What has to notice."""
UNLIKELY = 0.005
"""How often a test notices a fault that has noticed none of its module yet; who noticed some is tried first, if that is quick."""
SLOWER, LEAST = 10.0, 120.0
"""So many times what the tests took while they were followed, and so many seconds more: who is slower is in a loop."""


def named(module: str, each: Place) -> str:
    """Return what the table of equivalents calls a fault."""
    return f"{module.rpartition('.')[2]}.{each}"


class Log:
    """What came of each fault, a line each: a test that failed, or none."""

    def __init__(self, path: Path | None, *, again: bool) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path is not None and path.exists() else []
        known: dict[str, str] = dict(json.loads(line) for line in lines)
        self.known = {mutant: by for mutant, by in known.items() if by or not again}

    def add(self, mutant: str, by: str) -> None:
        """Keep one."""
        self.known[mutant] = by
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps([mutant, by]) + "\n")


class Trial:
    """The tests, with what they come by, and which of them have noticed faults."""

    def __init__(self, tests: Tests, files: Sequence[str], url: str, folder: Path) -> None:
        self.tests, self.files, self.url, self.file = tests, files, url, folder / "result"
        self.killers: Counter[tuple[str, str]] = Counter()
        self.reached: Reached = {}

    def follow(self, kept: Path | None) -> None:
        """Learn what the tests come by, or take what was kept of the same tests and modules."""
        texts = [Path(ROOT, name).read_bytes() for name in self.files] + [source_of(name).encode() for name in MODULES]
        state = hashlib.sha256(b"".join(texts)).hexdigest()
        if kept is not None and kept.exists() and (found := json.loads(kept.read_text()))[0] == state:
            self.reached = found[1]
            return
        database = runs.copy(self.url)
        runs.forked(lambda: self.tests.follow(MODULES, database, self.file), 3_600)
        failed, self.reached = json.loads(self.file.read_text(encoding="utf-8"))
        if failed:
            sys.exit(f"without any fault a test fails already: {failed}")
        if kept is not None:
            kept.write_text(json.dumps([state, self.reached]), encoding="utf-8")

    def noticed_by(self, module: str, fault: Place) -> str:
        """Return the test that notices a fault, "" when none does."""
        of_module = {test for test, (_, lines) in self.reached.items() if module in lines}
        near = {test for test in of_module if not fault.lines.isdisjoint(self.reached[test][1][module])}
        for tests in (near, of_module - near if fault.cached or not near else set[str]()):
            if tests and (by := self._run(module, fault, tests)):
                self.killers[module, by] += 1
                return by
        return ""

    def _run(self, module: str, fault: Place, tests: set[str]) -> str:
        seconds = {test: self.reached[test][0] for test in tests}
        ordered = sorted(
            tests, key=lambda test: (-(UNLIKELY + self.killers[module, test]) / (0.1 + seconds[test]), test)
        )
        database = runs.copy(self.url)

        def work() -> None:
            patch.put(module, fault.place, fault.choice)
            self.tests.first_failing(ordered, database, self.file)

        self.file.write_text("no result")
        ended = runs.forked(work, LEAST + SLOWER * sum(seconds.values()))
        return self.file.read_text(encoding="utf-8") if ended else "no end"


def _try(module: str, most: int | None, trial: Trial | None, log: Log) -> tuple[int, int, list[str]]:
    source = source_of(module)
    state = hashlib.sha256(source.encode()).hexdigest()[:8]
    found = [each for each in places(source) if each.lines]
    tried = found if most is None else random.Random(module).sample(found, len(found))[:most]
    survived, known = [], 0
    for each in sorted(tried, key=lambda each: (each.place, each.choice)):
        mutant = f"{module}@{state}:{each.place}:{each.choice}"
        if named(module, each) in EQUIVALENT:
            survived.append(named(module, each))
            known += 1
            continue
        if mutant not in log.known:
            if trial is None:
                continue
            begun = time.monotonic()
            log.add(mutant, trial.noticed_by(module, each))
            seconds = time.monotonic() - begun
            print(f"{seconds:5.1f} s {named(module, each)}: {log.known[mutant] or 'SURVIVED'}", flush=True)
        known += 1
        if not log.known[mutant]:
            survived.append(named(module, each))
    return known, len(found), survived


def _page(results: dict[str, tuple[int, int, list[str]]]) -> str:
    tried = sum(t for t, _, _ in results.values())
    survived = [(name, each) for name, (_, _, s) in results.items() for each in s]
    same = [each for _, each in survived if each in EQUIVALENT]
    lines = [
        "# Faults in what decides who sees what",
        "",
        "Generated by `python -m tests.mutation --write`: one small fault in a function at a time (a comparison turned round, a",
        "condition left out, everything where nothing should be), chosen by a fixed seed, shown to the tests that come by it.",
        "",
        f"**{tried - len(survived)} of {tried - len(same)} faults are noticed**; {len(same)} more change nothing.",
        "",
        "| module | faults there are | tried | noticed | change nothing |",
        "|---|---|---|---|---|",
        *(
            f"| `{name}` | {all_} | {t} | {t - len(s)} | {sum(each in EQUIVALENT for each in s)} |"
            for name, (t, all_, s) in results.items()
        ),
    ]
    if open_ := [each for _, each in survived if each not in EQUIVALENT]:
        lines += ["", "Not noticed:", "", *(f"- {each}" for each in open_)]
    if same:
        lines += ["", "Changes nothing (`tests/mutation/equivalents.py`):", ""]
        lines += [f"- {each}: {EQUIVALENT[each]}" for each in same]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=None, help="so many faults of each module")
    parser.add_argument("--module", action="append", default=None, help="only these")
    parser.add_argument("--write", action="store_true", help=f"write {PAGE.relative_to(ROOT)}")
    parser.add_argument("--log", type=Path, default=None, help="what came of each fault, to go on from")
    parser.add_argument("--again", action="store_true", help="try once more what survived in the log")
    parser.add_argument("--test", action="append", default=None, help="only these tests")
    parser.add_argument(
        "--told", action="store_true", help="try nothing: only what the log knows of the modules as they are"
    )
    given = parser.parse_args()
    log, files = Log(given.log, again=given.again), given.test or TESTS
    results: dict[str, tuple[int, int, list[str]]] = {}

    def work(tests: Tests) -> None:
        with tempfile.TemporaryDirectory() as folder, runs.server(Path(folder, "postgres")) as url:
            trial = Trial(tests, files, url, Path(folder))
            trial.follow(given.log and given.log.with_suffix(".reached"))
            results.update({name: _try(name, given.most, trial, log) for name in given.module or MODULES})

    if given.told:
        results.update({name: _try(name, given.most, None, log) for name in given.module or MODULES})
    else:
        plugin.do(work)
        options = ["-q", "-s", "-n", "0", "-p", "no:cacheprovider", "-m", "not slow"]
        if (status := pytest.main([*options, *files], plugins=[plugin])) or not results:
            sys.exit(int(status) or 1)
    page = _page(results)
    print(page)
    if given.write:
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
