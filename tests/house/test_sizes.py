"""Small files, small functions, every room explained (style.md §7)."""

import ast
import statistics
from pathlib import Path

import pytest

from tests.house.tree import ROOT, code, name, rooms

GENERATED = ("profiles/r4/", "profiles/generated/")


def written() -> list[Path]:
    return [path for path in code() if not name(path).startswith(GENERATED)]


def lengths(path: Path) -> dict[str, int]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {
        f"{name(path)}:{node.lineno} {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for node in ast.walk(tree)
        if isinstance(node, kinds)
    }


def test_no_file_has_more_than_400_lines() -> None:
    long = {name(path): count for path in written() if (count := len(path.read_text().splitlines())) > 400}
    assert not long


def test_no_function_has_more_than_60_lines() -> None:
    long = {where: count for path in written() for where, count in lengths(path).items() if count > 60}
    assert not long


def test_the_median_function_has_less_than_10_lines() -> None:
    assert statistics.median(count for path in written() for count in lengths(path).values()) < 10


@pytest.mark.parametrize("room", rooms(), ids=name)
def test_every_room_has_a_readme_that_names_its_files(room: Path) -> None:
    """A package without a README of its own stands in that of the package above."""
    home = next((folder for folder in (room, *room.parents) if (folder / "README.md").exists()), ROOT)
    assert home != ROOT, f"{name(room)} has no README.md"
    text = (home / "README.md").read_text(encoding="utf-8")
    files = [path.name for path in room.glob("*.py") if path.name != "__init__.py"]
    assert not [file for file in files if file not in text], f"not named in {name(home)}/README.md"


def test_every_readme_of_a_room_has_at_most_40_lines() -> None:
    long = {
        name(room): count
        for room in rooms()
        if (room / "README.md").exists() and (count := len((room / "README.md").read_text().splitlines())) > 40
    }
    assert not long


def test_the_project_stands_in_its_top_level() -> None:
    """The top level is fixed: design.md §3."""
    allowed = {
        *("fhir_server", "smart_apps", "profiles", "terminology", "workers", "migrations", "tests", "docs", "deploy"),
        *("pyproject.toml", "docker-compose.yml", "README.md", "clarity", "LICENSE", "CONTRIBUTING.md", "CHANGELOG.md"),
    }
    there = {
        path.name for path in ROOT.iterdir() if not path.name.startswith(".") and not path.name.endswith(".egg-info")
    }
    assert there <= allowed
