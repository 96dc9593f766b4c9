"""A second evaluator of rules, written plainly: days as dictionaries of numbers, three-valued logic spelled out, windows walked.

It shares no code with `workers/rules` but the record of what a criterion asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any

Tree = Any
"""A name, ("not", tree), or (operator, tree, tree)."""
Series = Mapping[str, Mapping[date, float]]


def compare(number: float, comparator: str, limit: float) -> bool:
    if comparator == "<":
        return number < limit
    if comparator == "<=":
        return number <= limit
    if comparator == ">":
        return number > limit
    assert comparator == ">="
    return number >= limit


def criterion(asked: Mapping[str, Any], series: Series, newest: date) -> bool | None:
    """Return what a criterion over values or changes says, by counting every way in which the unknown days could have been."""
    numbers = []
    for back in range(asked["window"]):
        day = newest - timedelta(days=back)
        now = series.get(asked["metric"], {}).get(day)
        if asked["of"] == "change" and now is not None:
            before = series.get(asked["metric"], {}).get(day - timedelta(days=asked["over"]))
            now = None if before is None else now - before
        numbers.append(now)
    if not asked["days"]:
        for number in numbers:
            if number is not None:
                return compare(number, asked["comparator"], asked["limit"])
        return None
    if all(number is None for number in numbers):
        return None
    surely = sum(number is not None and compare(number, asked["comparator"], asked["limit"]) for number in numbers)
    unknown = sum(number is None for number in numbers) if asked["missing"] == "unknown" else 0
    outcomes = {surely + more >= asked["days"] for more in range(unknown + 1)}
    return outcomes.pop() if len(outcomes) == 1 else None


def holds(tree: Tree, values: Mapping[str, bool | None]) -> bool | None:
    """Return a condition by trying every way in which the unknown could have been: true or false only when all agree."""
    unknown = sorted(name for name, value in values.items() if value is None and name in _names(tree))
    found = set()
    for number in range(2 ** len(unknown)):
        guess = {name: bool(number >> place & 1) for place, name in enumerate(unknown)}
        found.add(_holds(tree, {**values, **guess}))
    return found.pop() if len(found) == 1 else None


def _names(tree: Tree) -> set[str]:
    return {tree} if isinstance(tree, str) else set().union(*(_names(part) for part in tree[1:]))


def _holds(tree: Tree, values: Mapping[str, bool | None]) -> bool:
    if isinstance(tree, str):
        return bool(values[tree])
    if tree[0] == "not":
        return not _holds(tree[1], values)
    left, right = _holds(tree[1], values), _holds(tree[2], values)
    return {"and": left and right, "or": left or right, "xor": left != right, "implies": not left or right}[tree[0]]


def written(tree: Tree) -> str:
    """Return the condition as FHIRPath."""
    if isinstance(tree, str):
        return f"%{tree}"
    if tree[0] == "not":
        return f"({written(tree[1])}).not()"
    return f"({written(tree[1])} {tree[0]} {written(tree[2])})"


def used_once(tree: Tree) -> bool:
    """Tell whether each name stands in it once: then Kleene's logic says all that can be said."""
    names: list[str] = []

    def walk(part: Tree) -> None:
        if isinstance(part, str):
            names.append(part)
        else:
            for each in part[1:]:
                walk(each)

    walk(tree)
    return len(names) == len(set(names))
