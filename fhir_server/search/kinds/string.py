"""String: the start of a field, without regard to case, accents and runs of blanks (R4 search.html#string).

A field is each part of a HumanName or Address, or the whole of a plain string. Types about patients are *blind*: keys of the first
1 to 8 characters and of the whole; what is asked beyond 8 characters is verified in the decrypted candidates. Other types keep
the normalised text in `ix_string`.

`:exact` is the whole field, letter by letter; `:contains` what stands anywhere in it. Persons are looked for by parts of names
among all persons, so Patient, Person and RelatedPerson have keys of every three characters in a row too; other blind types
are looked into, and of other types the texts of one parameter are read along the index.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from fhir_server.search.escape import unescape
from fhir_server.search.kinds.entries import Entries, KeyFunction, Pairs
from fhir_server.search.parameters import Source
from fhir_server.search.predicates import EVERYTHING, NOTHING, Match, Predicate, Rows, all_of, any_of, keys

PREFIX_LENGTH = 8
GRAM = 3
"""Length of the pieces by which `:contains` finds persons."""
_GRAMS = 12
"""How many pieces of a text are asked for: each narrows what is looked into."""
IN_PIECES = frozenset({"Patient", "Person", "RelatedPerson"})
"""Blind types that are looked for without knowing whose they are."""
PLAIN_LENGTH = 200
"""What of a plain text is indexed, in characters: a btree entry must stay far below a third of a page."""
_WILD, _ESCAPED = re.compile(r"([\\%_])"), r"\\\1"
_HIGHEST = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Text:
    """What a field begins with; with `exact`, what it is, letter by letter; with `contains`, what it has anywhere."""

    text: str
    exact: bool = False
    contains: bool = False


def parse(text: str, modifier: str | None) -> Text:
    """Read a string; ValueError when it has nothing to look for."""
    value = unescape(text)
    if modifier != "exact" and not normalise(value):
        raise ValueError("has nothing but blanks and accents")
    return Text(value, exact=modifier == "exact", contains=modifier == "contains")


def normalise(text: str) -> str:
    """Return the text in lower case, without accents, with single blanks."""
    if text.isascii():
        return " ".join(text.lower().split())
    bare = "".join(char for char in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(char))
    return " ".join(bare.casefold().split())  # taking U+210B apart gives a capital H


# ---- rows ----


def _pieces(text: str) -> set[str]:
    """Return every three characters in a row."""
    return {text[at : at + GRAM] for at in range(len(text) - GRAM + 1)}


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


def rows_in_pieces(entries: Entries, param: int, pairs: Pairs) -> None:
    """Add the entries of what was found in a person."""
    rows(entries, param, pairs)
    pieces: set[str] = set().union(*(_pieces(normalise(value)) for _, value in pairs))
    entries.keys.update(entries.key(param, "t", piece) for piece in pieces)


# ---- predicate ----


def _doubtful(value: Text, text: str, type_: str, *, blind: bool) -> bool:
    if not blind:
        return value.exact or len(text) > PLAIN_LENGTH
    if value.contains:
        return type_ not in IN_PIECES or len(text) != GRAM
    return not value.exact and len(text) > PREFIX_LENGTH


def match(value: Text, source: Source, key: KeyFunction, type_: str, *, blind: bool) -> Match:
    """Return the condition that a field of a resource has the text where it is asked for, and what that leaves in doubt."""
    text = normalise(value.text)
    doubt = EVERYTHING if _doubtful(value, text, type_, blind=blind) else NOTHING
    if blind:
        return Match(_blind(value, text, source, key, type_), doubt)
    if not value.contains:
        return Match(_plain(value, text, source), doubt)
    # What was cut off may hold the text: such rows are few, and looked into. The planner takes LIKE and an equality to be rare,
    # strpos() and an inequality to be a third of all.
    cut = f"param = {source.id} AND length(value) = {PLAIN_LENGTH}"
    like = f"%{_WILD.sub(_ESCAPED, text)}%"
    found = Rows("ix_string", f"param = {source.id} AND value LIKE {{}}", (like,), ((cut, ()),))
    return Match(found, any_of([doubt, Rows("ix_string", cut)]))


def _blind(value: Text, text: str, source: Source, key: KeyFunction, type_: str) -> Predicate:
    if value.exact:
        return keys([key(source.id, "e", value.text)])
    if not value.contains:
        return keys([key(source.id, "p", text[:PREFIX_LENGTH])])
    if type_ not in IN_PIECES or len(text) < GRAM:
        return EVERYTHING
    return all_of([keys([key(source.id, "t", piece)]) for piece in sorted(_pieces(text))[:_GRAMS]])


def _plain(value: Text, text: str, source: Source) -> Predicate:
    start = text[:PLAIN_LENGTH]
    if value.exact and len(text) <= PLAIN_LENGTH:
        return Rows("ix_string", f"param = {source.id} AND value = {{}}", (start,))
    return Rows("ix_string", f"param = {source.id} AND value >= {{}} AND value < {{}}", (start, start + _HIGHEST))


# ---- in memory ----


def accepts(value: Text, pairs: Pairs) -> bool:
    """Tell whether one of the fields found in a resource has the text where it is asked for."""
    if value.exact:
        return any(found == value.text for _, found in pairs)
    text = normalise(value.text)
    if value.contains:
        return any(text in normalise(found) for _, found in pairs)
    return any(normalise(found).startswith(text) for _, found in pairs)
