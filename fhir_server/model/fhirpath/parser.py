"""Tokens to syntax tree: precedence climbing over the grammar of FHIRPath N1 (https://hl7.org/fhirpath/N1/grammar.html)."""

from __future__ import annotations

from decimal import Decimal

from fhir_server.model.fhirpath import ast
from fhir_server.model.fhirpath.datetimes import parse_temporal
from fhir_server.model.fhirpath.errors import MAX_DEPTH, over_limit, syntax
from fhir_server.model.fhirpath.lexer import Token, tokenize, unquote
from fhir_server.model.fhirpath.quantities import CALENDAR_UNITS, Quantity

# How tightly an operator binds; higher binds tighter. Unary signs bind at 11, invocations above all.
_BINDING = {
    "implies": 1, "or": 2, "xor": 2, "and": 3, "in": 4, "contains": 4, "=": 5, "~": 5, "!=": 5, "!~": 5,
    "<": 6, ">": 6, "<=": 6, ">=": 6, "|": 7, "is": 8, "as": 8, "+": 9, "-": 9, "&": 9, "*": 10, "/": 10, "div": 10, "mod": 10,
}  # fmt: skip
_SIGN = 11
_RESERVED = frozenset({"div", "mod", "and", "or", "xor", "implies", "true", "false"})
_MAX_INTEGER = 2**63 - 1
_MAX_NAME = 256
_MAX_DIGITS = 128


class _Parser:
    """The position in one expression's tokens."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.position = 0
        self.depth = 0

    def peek(self) -> Token:
        return self.tokens[self.position]

    def take(self) -> Token:
        token = self.tokens[self.position]
        self.position += 1
        return token

    def accept(self, text: str) -> bool:
        """Take the next token when it is this symbol."""
        token = self.peek()
        if token.kind == "symbol" and token.text == text:
            self.position += 1
            return True
        return False

    def expect(self, text: str) -> None:
        if not self.accept(text):
            raise syntax(f"expected '{text}'", self.peek().at)

    def operator(self) -> str | None:
        """Return the binary operator that comes next, if one does."""
        token = self.peek()
        return token.text if token.kind in ("symbol", "word") and token.text in _BINDING else None

    def expression(self, floor: int = 0) -> ast.Expr:
        """Parse an expression whose operators all bind tighter than `floor`."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise over_limit(f"the expression is nested more than {MAX_DEPTH} deep")
        left = self.signed()
        grown = 0
        while (operator := self.operator()) is not None and _BINDING[operator] > floor:
            self.take()
            left = self.operation(operator, left)
            grown += not isinstance(left, ast.Union)
            if self.depth + grown > MAX_DEPTH:
                raise over_limit(f"the expression chains more than {MAX_DEPTH} operators")
        self.depth -= 1
        return left

    def operation(self, operator: str, left: ast.Expr) -> ast.Expr:
        """Parse what follows a binary operator."""
        if operator in ("is", "as"):
            return ast.TypeTest(operator, left, self.type_specifier())
        right = self.expression(_BINDING[operator])
        if operator != "|":
            return ast.Binary(operator, left, right)
        return ast.Union((*(left.parts if isinstance(left, ast.Union) else (left,)), right))

    def signed(self) -> ast.Expr:
        """Parse an expression with an optional sign."""
        token = self.peek()
        if token.kind == "symbol" and token.text in "+-":
            self.take()
            return ast.Sign(token.text, self.expression(_SIGN - 1))
        return self.path()

    def path(self) -> ast.Expr:
        """Parse a term and the invocations and indexers after it."""
        head = self.term()
        steps: list[ast.Step] = []
        while True:
            if self.accept("."):
                steps.append(self.invocation())
            elif self.accept("["):
                steps.append(ast.Index(self.expression()))
                self.expect("]")
            else:
                return ast.Path(head, tuple(steps)) if steps else head

    def invocation(self) -> ast.Member | ast.Call:
        """Parse what may stand after a dot: a member or a function call."""
        token = self.peek()
        name = self.identifier()
        if token.kind == "word" and self.accept("("):
            return ast.Call(name, self.arguments(), token.at)
        return ast.Member(name, token.at)

    def arguments(self) -> tuple[ast.Expr, ...]:
        """Parse the arguments of a call after its opening parenthesis."""
        if self.accept(")"):
            return ()
        out = [self.expression()]
        while self.accept(","):
            out.append(self.expression())
        self.expect(")")
        return tuple(out)

    def identifier(self) -> str:
        token = self.take()
        if len(token.text) > _MAX_NAME:
            raise syntax("a name that long does not exist", token.at)
        if token.kind == "word":
            return token.text
        if token.kind == "delimited":
            return unquote(token)
        raise syntax("expected a name", token.at)

    def type_specifier(self) -> ast.TypeName:
        """Parse `Type` or `Namespace.Type`."""
        first = self.identifier()
        if first in ("FHIR", "System") and self.accept("."):
            return ast.TypeName(first, self.identifier())
        return ast.TypeName(None, first)

    def term(self) -> ast.Expr:
        """Parse a literal, a variable, a parenthesised expression, or a leading invocation."""
        token = self.peek()
        if token.kind in ("word", "delimited") and token.text not in _RESERVED:
            return self.invocation()
        self.take()
        if token.kind == "special":
            return ast.Special(token.text)
        if token.kind == "symbol":
            return self.bracketed(token)
        return self.literal(token)

    def bracketed(self, token: Token) -> ast.Expr:
        """Parse a term that begins with a symbol: `(...)`, `{}` or `%name`."""
        if token.text == "(":
            inner = self.expression()
            self.expect(")")
            return inner
        if token.text == "{":
            self.expect("}")
            return ast.Empty()
        if token.text == "%":
            quoted = self.peek()
            if quoted.kind == "string":
                return ast.Variable(unquote(self.take()))
            return ast.Variable(self.identifier())
        raise syntax(f"unexpected '{token.text}'", token.at)

    def literal(self, token: Token) -> ast.Expr:
        """Parse a literal."""
        if token.kind == "number":
            return self.number(token)
        if token.kind == "string":
            return ast.Literal(unquote(token))
        if token.kind in ("date", "time"):
            value = parse_temporal(
                token.text[1:].removeprefix("T") if token.kind == "time" else token.text[1:], token.kind
            )
            if value is None:
                raise syntax("no such date or time", token.at)
            return ast.Literal(value)
        if token.text in ("true", "false"):
            return ast.Literal(token.text == "true")
        raise syntax("unexpected end" if token.kind == "end" else f"unexpected '{token.text}'", token.at)

    def number(self, token: Token) -> ast.Expr:
        """Parse a number, or a quantity when a unit follows it."""
        if len(token.text) > _MAX_DIGITS:
            raise syntax(f"a number of more than {_MAX_DIGITS} digits", token.at)
        unit = self.peek()
        if unit.kind == "string":
            self.take()
            return ast.Literal(Quantity(Decimal(token.text), unquote(unit)))
        if unit.kind == "word" and unit.text in CALENDAR_UNITS:
            self.take()
            return ast.Literal(Quantity(Decimal(token.text), CALENDAR_UNITS[unit.text], calendar=True))
        if "." in token.text:
            return ast.Literal(Decimal(token.text))
        if int(token.text) > _MAX_INTEGER:
            raise syntax("integer out of range", token.at)
        return ast.Literal(int(token.text))


def parse(text: str) -> ast.Expr:
    """Return the syntax tree of an expression; raises `FhirPathError` when it breaks the grammar or a limit."""
    parser = _Parser(tokenize(text))
    try:
        tree = parser.expression()
    except RecursionError:
        raise over_limit("the expression is nested too deeply") from None
    end = parser.peek()
    if end.kind != "end":
        raise syntax(f"unexpected '{end.text}'" if end.kind in ("symbol", "word") else "unexpected literal", end.at)
    return tree
