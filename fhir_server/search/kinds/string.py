"""String: the start of a field, without regard to case, accents and runs of blanks (R4 search.html#string).

A field is each part of a HumanName or Address, or the whole of a plain string. Types about patients are *blind*: keys of the first
1 to 8 characters and of the whole; what is asked beyond 8 characters is verified in the decrypted candidates. Other types keep
the normalised text in `ix_string`.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from fhir_server.search.escape import unescape
from fhir_server.search.kinds.entries import Entries, KeyFunction, Pairs
from fhir_server.search.parameters import Source
from fhir_server.search.predicates import Predicate, Rows, keys

PREFIX_LENGTH = 8
PLAIN_LENGTH = 200
"""What of a plain text is indexed, in characters: a btree entry must stay far below a third of a page."""
_HIGHEST = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Text:
    """What a field begins with; with `exact`, what a field is, letter by letter."""

    text: str
    exact: bool = False


def parse(text: str, modifier: str | None) -> Text:
    """Read a string."""
    return Text(unescape(text), exact=modifier == "exact")


def normalise(text: str) -> str:
    """Return the text in lower case, without accents, with single blanks."""
    if text.isascii():
        return " ".join(text.lower().split())
    bare = "".join(char for char in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(char))
    return " ".join(bare.split())


def rows(entries: Entries, param: int, pairs: Pairs) -> None:
    """Add the entries of what was found."""
    for _, value in pairs:
        text = normalise(value)
        if not entries.blind:
            entries.strings.append((param, text[:PLAIN_LENGTH]))
            continue
        for length in range(1, min(len(text), PREFIX_LENGTH) + 1):
            entries.keys.add(entries.key(param, "p", text[:length]))
        entries.keys.add(entries.key(param, "e", value))


def verified(value: Text, *, blind: bool) -> bool:
    """Tell whether the predicate alone cannot decide, so that candidates must be looked into."""
    if blind:
        return not value.exact and len(normalise(value.text)) > PREFIX_LENGTH
    return value.exact or len(normalise(value.text)) > PLAIN_LENGTH


def predicate(value: Text, source: Source, key: KeyFunction, *, blind: bool) -> Predicate:
    """Return the condition that a field of the resource begins with the text, or is it."""
    text = normalise(value.text)
    if blind:
        if value.exact:
            return keys([key(source.id, "e", value.text)])
        return keys([key(source.id, "p", text[:PREFIX_LENGTH])])
    start = text[:PLAIN_LENGTH]
    if value.exact and len(text) <= PLAIN_LENGTH:
        return Rows("ix_string", f"param = {source.id} AND value = {{}}", (start,))
    return Rows("ix_string", f"param = {source.id} AND value >= {{}} AND value < {{}}", (start, start + _HIGHEST))


def accepts(value: Text, pairs: Pairs) -> bool:
    """Tell whether one of the fields found in a resource begins with the text, or is it."""
    if value.exact:
        return any(found == value.text for _, found in pairs)
    text = normalise(value.text)
    return any(normalise(found).startswith(text) for _, found in pairs)
