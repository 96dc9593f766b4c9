"""The table of faults that change nothing names faults that there are."""

from __future__ import annotations

from tests.mutation.__main__ import MODULES, named
from tests.mutation.equivalents import EQUIVALENT
from tests.mutation.mutants import places
from tests.mutation.patch import source_of


def test_every_equivalent_is_a_fault_of_today() -> None:
    there = {named(module, each) for module in MODULES for each in places(source_of(module))}
    assert EQUIVALENT.keys() <= there, EQUIVALENT.keys() - there
