"""Gives functions that are imported already the code of a module with one fault: whoever holds them meets it."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType

from tests.mutation.mutants import mutated

ROOT = Path(__file__).resolve().parents[2]


def file_of(module: str) -> str:
    """Return where a module stands, as its code says it."""
    return str(ROOT / (module.replace(".", "/") + ".py"))


def source_of(module: str) -> str:
    """Return the text of a module."""
    return Path(file_of(module)).read_text(encoding="utf-8")


def _codes(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _codes(each)


def put(module: str, place: int, choice: int) -> int:
    """Put a fault into the functions of a module; return how many functions have other code now, which is one or more.

    What they remember of calls before is forgotten.
    """
    file = file_of(module)
    faulty = compile(mutated(source_of(module), place, choice), file, "exec", dont_inherit=True)
    by_place = {(code.co_qualname, code.co_firstlineno): code for code in _codes(faulty)}
    changed = 0
    for function in gc.get_objects():
        if isinstance(function, FunctionType) and function.__code__.co_filename == file:
            code = by_place.get((function.__code__.co_qualname, function.__code__.co_firstlineno))
            if code is not None and code != function.__code__:
                function.__code__ = code
                changed += 1
    for each in vars(sys.modules[module]).values():
        if hasattr(each, "cache_clear"):
            each.cache_clear()
    return changed
