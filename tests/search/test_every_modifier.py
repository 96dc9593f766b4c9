"""Every parameter of R4 with every modifier and prefix that it takes: each is asked once and agrees with the naive reading."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from fhir_server.search.modifier_table import KNOWN, TABLE, allowed, documentation, refusal
from fhir_server.search.parameters import served_params
from profiles.registry import R4, SearchParam
from tests.search import naive
from tests.search.conftest import page
from tests.search.test_examples import Case, cases

MISMATCHED = "http://hl7.org/fhir/ValueSet/administrative-gender"
ONLY_RUN = {
    "in": MISMATCHED,
    "not-in": MISMATCHED,
    "above": "http://hl7.org/fhir/administrative-gender|male",
    "below": "http://hl7.org/fhir/administrative-gender|male",
}
"""What is asked of tokens, whose meaning `test_lookup.py` has."""
BARE = re.compile(r"^(eq|ne|gt|lt|ge|le|sa|eb|ap)")


def distinct() -> Iterator[tuple[Case, SearchParam]]:
    """Yield a case of every parameter, those of all types once."""
    seen: set[int] = set()
    for case in cases()[0]:
        param = R4.params(case[0])[case[1]]
        if param.id not in seen:
            seen.add(param.id)
            yield case, param


def asked(case: Case, param: SearchParam, modifier: str) -> str | None:
    """Return what to ask with a modifier; None where this case has nothing that it could be asked."""
    _, _, _, text = case
    if modifier == "missing":
        return "true"
    if modifier == "of-type":
        return f"http://types|MR|{text.rpartition('|')[2]}"
    if param.kind == "token" and modifier in ONLY_RUN:
        return ONLY_RUN[modifier]
    if param.kind == "uri" or (param.kind == "reference" and modifier in ("above", "below")):
        return (
            text
            if re.match(r"[a-z]+://", text) or ("/" in text and ":" not in text and param.kind == "reference")
            else None
        )
    return text


def known_to_naive(param: SearchParam, modifier: str) -> bool:
    return not (
        (param.kind == "token" and modifier in ONLY_RUN)
        or (param.kind == "reference" and modifier in ("above", "below"))
    )


async def test_every_parameter_with_every_modifier(examples_tenant: Any) -> None:
    wrong, count = [], 0
    for case, param in distinct():
        type_, name, resource, _ = case
        for modifier in allowed(type_, param):
            text = asked(case, param, modifier)
            if text is None:
                continue
            query = f"{name}:{modifier}={text}"
            if (
                param.kind == "reference"
                and modifier in ("above", "below")
                and text.partition("/")[0] not in parts(param)
            ):
                continue
            found = [row.id for row in (await page(examples_tenant, type_, f"{query}&_id={resource['id']}")).rows]
            count += 1
            if param.kind == "composite" or not known_to_naive(param, modifier):
                continue
            if (found == [resource["id"]]) is not naive.matches(
                resource, f"{name}:{modifier}", text, examples_tenant.base
            ):
                wrong.append((type_, query, resource["id"]))
    assert not wrong, wrong
    assert count > 4000


def parts(param: SearchParam) -> set[str]:
    """The types that have parts, or the beginnings of URLs."""
    return {"http:", "https:"} | ({"Location", "Organization"} & set(param.targets))


async def test_every_ordered_parameter_with_every_prefix(examples_tenant: Any) -> None:
    wrong, count = [], 0
    for (type_, name, resource, text), param in distinct():
        if param.kind not in ("date", "number", "quantity"):
            continue
        for prefix in naive.PREFIXES:
            query = f"{name}={prefix}{BARE.sub('', text)}"
            found = (await page(examples_tenant, type_, f"{query}&_id={resource['id']}")).rows
            count += 1
            if bool(found) is not naive.matches(resource, name, query.partition("=")[2], examples_tenant.base):
                wrong.append((type_, query, resource["id"]))
    assert not wrong, wrong
    assert count > 1500


async def test_what_words_can_be_asked_of_every_type(examples_tenant: Any) -> None:
    for type_ in R4.types:
        names = [param.name for param in served_params(type_) if param.name in ("_text", "_content")]
        assert "_content" in names
        for name in names:
            await page(examples_tenant, type_, f"{name}=sample&_id=nothing")


def test_the_table_knows_every_modifier_and_says_why_not() -> None:
    assert {name for rules in TABLE.values() for name in rules} <= KNOWN
    for type_ in R4.types:
        for param in served_params(type_):
            for modifier in KNOWN - {"type"}:
                why = refusal(type_, param, modifier)
                assert (why is None) is (modifier in allowed(type_, param))
                assert why is None or f":{modifier} does not go with {param.name}" in why
            assert documentation(type_, param).startswith("Modifiers: ")
