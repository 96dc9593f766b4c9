"""Text to tokens, by the lexical rules of FHIRPath N1 (https://hl7.org/fhirpath/N1/#lexical-elements)."""

from __future__ import annotations

import re
from typing import NamedTuple

from fhir_server.model.fhirpath.errors import MAX_EXPRESSION, over_limit, syntax


class Token(NamedTuple):
    """A token: its kind (a group of the pattern below), its text and where it starts."""

    kind: str
    text: str
    at: int


# No quantifier is nested in another over the same characters, so that matching is linear.
_TIME = r"\d{2}(?::\d{2}(?::\d{2}(?:\.\d+)?)?)?"
_TOKEN = re.compile(
    rf"""
    (?P<space>\s+|//[^\r\n]*|/\*(?s:.*?)\*/)
  | (?P<time>@T{_TIME})
  | (?P<date>@\d{{4}}(?:-\d{{2}}(?:-\d{{2}})?)?(?:T(?:{_TIME}(?:Z|[+-]\d{{2}}:\d{{2}})?)?)?)
  | (?P<number>\d+(?:\.\d+)?)
  | (?P<string>'(?:[^'\\]|\\.)*')
  | (?P<delimited>`(?:[^`\\]|\\.)*`)
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<special>\$(?:this|index|total)\b)
  | (?P<symbol><=|>=|!=|!~|[-+*/|&=~<>.,()\[\]{{}}%])
    """,
    re.VERBOSE | re.DOTALL | re.ASCII,
)

_ESCAPE = re.compile(r"\\(?:u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_PLAIN = {"'": "'", '"': '"', "`": "`", "\\": "\\", "/": "/", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def tokenize(text: str) -> list[Token]:
    """Return the tokens of an expression, closed by one of kind `end`."""
    if len(text) > MAX_EXPRESSION:
        raise over_limit(f"the expression has more than {MAX_EXPRESSION} characters")
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise syntax("unexpected character", at)
        kind = match.lastgroup or ""
        if kind != "space":
            tokens.append(Token(kind, match.group(), at))
        at = match.end()
    tokens.append(Token("end", "", at))
    return tokens


def unquote(token: Token) -> str:
    """Return the text inside a quoted token with its escapes resolved."""

    def resolve(match: re.Match[str]) -> str:
        code, char = match.group(1), match.group(2)
        if code is not None:
            return chr(int(code, 16))
        if char not in _PLAIN:
            raise syntax("unknown escape sequence", token.at + match.start())
        return _PLAIN[char]

    return _ESCAPE.sub(resolve, token.text[1:-1]) if "\\" in token.text else token.text[1:-1]
