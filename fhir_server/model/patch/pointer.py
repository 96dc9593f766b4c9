"""JSON Pointer (RFC 6901): a path of names and positions into a JSON document."""

from __future__ import annotations

import re
from typing import Any

from fhir_server.kit.json import MAX_DEPTH

END = "-"
"""The position after the last item of an array."""

_MAX_LENGTH = 4096
_ESCAPE = re.compile(r"~(?![01])")
_POSITION = re.compile(r"0|[1-9][0-9]{0,8}")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]{0,63}")

Pointer = tuple[str, ...]


def parse(text: str) -> Pointer:
    """Return the tokens of a pointer; ValueError says what is wrong with it."""
    if text == "":
        return ()
    if not text.startswith("/"):
        raise ValueError("a path is empty or starts with '/'")
    if _ESCAPE.search(text):
        raise ValueError("'~' is written ~0 and '/' is written ~1; no other escape exists")
    if len(text) > _MAX_LENGTH or text.count("/") > MAX_DEPTH:
        raise ValueError(f"a path has {MAX_DEPTH} steps and {_MAX_LENGTH} characters at most")
    return tuple(token.replace("~1", "/").replace("~0", "~") for token in text[1:].split("/"))


def position(token: str, length: int) -> int:
    """Return the position that a token means in an array of which `length` positions may be named; LookupError otherwise."""
    if not _POSITION.fullmatch(token):
        raise LookupError("an item of an array is named by its position: 0, 1, 2, ... without leading zeros")
    if (found := int(token)) >= length:
        raise LookupError(f"the array is too short: {length} positions can be named here")
    return found


def step(node: Any, token: str) -> Any:
    """Return what a token leads to; LookupError when there is nothing."""
    if isinstance(node, dict):
        if token not in node:
            raise LookupError("there is nothing at this path")
        return node[token]
    if isinstance(node, list):
        if token == END:
            raise LookupError("'-' means the end of an array, where there is nothing yet; it only goes with add")
        return node[position(token, len(node))]
    raise LookupError("the path leads into a value that holds nothing")


def expression(root: str, tokens: Pointer) -> str:
    """Return the pointer as FHIRPath, as far as it is made of names and positions."""
    out = root
    for token in tokens:
        if _POSITION.fullmatch(token):
            out += f"[{token}]"
        elif _NAME.fullmatch(token):
            out += f".{token}"
        else:
            break
    return out
