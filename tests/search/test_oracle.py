"""Generated queries, answered by the database and by the naive reading: they must not disagree."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.search import naive, naive_asks
from tests.search import population as p
from tests.search.conftest import ids, load

EXAMPLES = 60
EACH = 25
oracle = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

RESOURCES = p.population(7, EACH)
CODED_BY = [
    ("Observation", n)
    for n in ("code", "category", "combo-code", "component-code", "value-concept", "combo-value-concept")
]
CODED_BY += [("Encounter", "class"), ("Condition", "code"), ("Group", "value"), ("Group", "characteristic")]
BY_TYPE = {type_: [r for r in [*RESOURCES, *p.TERMS] if r["resourceType"] == type_] for type_ in p.TYPES}


@pytest.fixture(scope="session")
async def town(open_tenant: Any) -> Any:
    tenant = await open_tenant("search_oracle")
    await load(tenant, [*RESOURCES, *p.TERMS])
    return tenant


def expected(type_: str, query: str, base: str) -> set[str]:
    parts = [part.partition("=")[::2] for part in query.split("&")]
    return {r["id"] for r in BY_TYPE[type_] if all(naive.matches(r, name, text, base) for name, text in parts)}


async def agree(tenant: Any, type_: str, query: str) -> None:
    found = await ids(tenant, type_, query)
    assert len(found) == len(set(found)), query
    assert set(found) == expected(type_, query, tenant.base), query


def ored(one: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.lists(one, min_size=1, max_size=3).map(",".join)


# ---- values ----

prefixes = st.sampled_from(["", *naive.PREFIXES])
SYSTEMS = [p.LOINC, p.SNOMED, p.OTHER, "http://none", ""]
token_codes = st.sampled_from([naive_asks.safe(c) for _, c in p.CODES] + ["ABC", "Abc", "8480", "nothing"])
tokens = st.one_of(
    token_codes,
    st.builds("{}|{}".format, st.sampled_from(SYSTEMS), token_codes),
    st.sampled_from([f"{system}|" for system in SYSTEMS if system]),
)
starts = st.builds(
    lambda word, cut, skip: naive_asks.safe(word[skip:][:cut]),
    st.sampled_from(p.FAMILIES + p.GIVENS + p.CITIES + ["Dr. X"]),
    st.integers(1, 22),
    st.sampled_from([0, 0, 1, 2, 5]),
)
strings = st.builds(
    lambda text, change: {"": text, "u": text.upper(), "l": text.lower()}[change],
    starts,
    st.sampled_from(["", "u", "l"]),
).filter(lambda text: bool(text.strip()))
moments = st.sampled_from(
    [*p.DATES, "2019", "2021-03-04T10:00Z", "2021-03-04T10:00:00+00:00", "2022", "2021-06", "2023-12-31"]
)
dates = st.builds("{}{}".format, prefixes, moments)
numbers = st.builds("{}{}".format, prefixes, st.sampled_from([*p.NUMBERS, "5.4", "5.43", "0.3", "12", "99.6", "5e0"]))
units = st.sampled_from(
    ["", "||kg", "||gram", "||lbs", "||mg", "||centimeter"]
    + [f"|{p.UCUM}|{code}" for code in ("kg", "g", "mg", "cm", "m", "h", "min")]
    + [f"|{p.OTHER}|mg", f"|{p.UCUM}|lbs", f"|{p.OTHER}|kg"]
)
quantities = st.builds("{}{}".format, numbers, units)
references = st.sampled_from(
    [*p.REFERENCES, "p1", "p2", "g1", "nobody", "Patient/nobody", "http://clarity.test/t/search_oracle/fhir/Patient/p1"]
)


def clauses(
    names: list[tuple[str, str]], values: st.SearchStrategy[str], modifiers: list[str]
) -> st.SearchStrategy[tuple[str, str]]:
    """Return (type, `name=value,value`) strategies."""
    return st.builds(
        lambda at, modifier, text: (at[0], f"{at[1]}{modifier}={text}"),
        st.sampled_from(names),
        st.sampled_from(modifiers),
        ored(values),
    )


CODED = ["code", "category", "combo-code", "component-code", "value-concept", "combo-value-concept"]
PRIMITIVE = [("Observation", "status"), ("Patient", "gender"), ("Patient", "deceased"), ("Encounter", "status")]
primitive_codes = st.sampled_from(
    ["final", "FINAL", "amended", "male", "Female", "true", "false", "finished", "nothing"]
)
identifiers = st.sampled_from(
    [
        "a-1",
        "A-1",
        "http://mrn|A-1",
        "http://mrn|",
        "http://none|1",
        "|1",
        "phone|",
        "phone|(03) 5555",
        "|(03) 5555",
        "(03) 5555",
    ]
)
typed = st.builds(
    "{}|{}|{}".format,
    st.sampled_from(["http://types", "http://t2", "http://none"]),
    st.sampled_from(["MR", "ss", "XX"]),
    st.sampled_from(["1", "A-1", "2"]),
)
tags = st.sampled_from(["red", "BLUE", "http://tags|blue", "http://tags|", "|red", "http://none|red"])
urls = st.sampled_from(
    [*p.URLS, *p.PROFILES, "http://example.org/vs/", "http://example.org/v", "http://example.org/vs/A/deeper"]
)
related = urls.filter(lambda url: not url.startswith("urn:"))
logical = st.sampled_from(["A-1", "http://ids|a-1", "http://ids|B\\|2", "|A-1", "http://none|A-1"])
NAMES = ["family", "given", "name", "phonetic", "address", "address-city"]

KINDS = {
    "token": st.one_of(
        clauses(
            [("Observation", n) for n in CODED]
            + [("Encounter", "class"), ("Condition", "code"), ("Group", "characteristic")],
            tokens,
            ["", ":not"],
        ),
        clauses(PRIMITIVE, primitive_codes, ["", ":not"]),
        clauses([("Patient", "identifier"), ("Patient", "telecom")], identifiers, ["", ":not"]),
        clauses([("Patient", "identifier")], typed, [":of-type"]),
        clauses(
            [("Observation", "code"), ("Observation", "combo-code"), ("Condition", "code")],
            st.sampled_from(["Only text", "only", "ONLY T", "text"]),
            [":text"],
        ),
        clauses([(type_, "_tag") for type_ in p.TYPES], tags, ["", ":not"]),
    ),
    "terms": st.one_of(
        clauses(CODED_BY, st.sampled_from(sorted(p.MEMBERS)), [":in", ":not-in"]),
        *(
            clauses(
                CODED_BY, st.sampled_from(sorted({f"{p.SNOMED}|{naive_asks.safe(c)}" for _, c in p.NEAR})), [f":{way}"]
            )
            for way in ("above", "below")
        ),
    ),
    "string": st.one_of(
        clauses([("Patient", n) for n in NAMES], strings, ["", ":exact", ":contains"]),
        clauses([("Organization", "name"), ("Organization", "address-city")], strings, ["", ":exact", ":contains"]),
        clauses([("Observation", "value-string"), ("Condition", "onset-info")], strings, ["", ":exact", ":contains"]),
    ),
    "date": clauses(
        [
            ("Patient", "birthdate"),
            ("Observation", "date"),
            ("Observation", "value-date"),
            ("Encounter", "date"),
            ("Condition", "onset-date"),
        ],
        dates,
        [""],
    ),
    "number": clauses([("RiskAssessment", "probability")], numbers, [""]),
    "quantity": clauses(
        [
            ("Observation", "value-quantity"),
            ("Observation", "component-value-quantity"),
            ("Observation", "combo-value-quantity"),
            ("ValueSet", "context-quantity"),
        ],
        quantities,
        [""],
    ),
    "reference": st.one_of(
        clauses(
            [
                ("Observation", "subject"),
                ("Observation", "patient"),
                ("Encounter", "patient"),
                ("DocumentReference", "relatesto"),
            ],
            references,
            [""],
        ),
        clauses([("Observation", "subject"), ("Encounter", "subject")], references, [":Patient", ":Group"]),
        clauses([("Observation", "subject"), ("Encounter", "subject")], logical, [":identifier"]),
    ),
    "uri": st.one_of(
        clauses([("ValueSet", "url")], urls, [""]),
        clauses([("ValueSet", "url")], related, [":above", ":below"]),
        clauses([(type_, "_profile") for type_ in p.TYPES], urls, [""]),
        clauses([(type_, "_profile") for type_ in p.TYPES], related, [":above", ":below"]),
    ),
    "composite": st.one_of(
        clauses(
            [
                ("Observation", n)
                for n in ("code-value-quantity", "component-code-value-quantity", "combo-code-value-quantity")
            ],
            st.builds("{}${}".format, tokens, quantities),
            [""],
        ),
        clauses(
            [
                ("Observation", n)
                for n in ("code-value-concept", "component-code-value-concept", "combo-code-value-concept")
            ],
            st.builds("{}${}".format, tokens, tokens),
            [""],
        ),
        clauses([("Observation", "code-value-date")], st.builds("{}${}".format, tokens, dates), [""]),
        clauses([("Observation", "code-value-string")], st.builds("{}${}".format, tokens, strings), [""]),
        clauses([("Group", "characteristic-value")], st.builds("{}${}".format, tokens, tokens), [""]),
        clauses([("ValueSet", "context-type-quantity")], st.builds("focus${}".format, quantities), [""]),
        clauses([("ValueSet", "context-type-value")], st.builds("http://u|focus${}".format, tokens), [""]),
        clauses(
            [("DocumentReference", "relationship")],
            st.builds(
                "{}${}".format,
                st.sampled_from(["replaces", "signs"]),
                st.sampled_from(["DocumentReference/d1", "DocumentReference/d2", "d2"]),
            ),
            [""],
        ),
    ),
}
MISSING = [
    (
        "Observation",
        [
            "code",
            "date",
            "value-quantity",
            "value-string",
            "combo-code",
            "patient",
            "component-code",
            "_tag",
            "value-concept",
        ],
    ),
    ("Patient", ["birthdate", "name", "given", "telecom", "address-city", "identifier", "_profile"]),
    ("Organization", ["name", "address-city"]),
    ("RiskAssessment", ["probability"]),
]
missing = st.one_of(
    [clauses([(type_, n) for n in names], st.sampled_from(["true", "false"]), [":missing"]) for type_, names in MISSING]
).map(lambda at: (at[0], at[1].split(",")[0]))


@pytest.mark.parametrize("kind", KINDS)
@oracle
@given(data=st.data())
async def test_one_parameter(town: Any, kind: str, data: st.DataObject) -> None:
    await agree(town, *data.draw(KINDS[kind]))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
@settings(oracle, max_examples=1500)
@given(data=st.data())
async def test_one_parameter_at_length(town: Any, kind: str, data: st.DataObject) -> None:
    await agree(town, *data.draw(KINDS[kind]))


@oracle
@given(missing)
async def test_missing(town: Any, at: tuple[str, str]) -> None:
    await agree(town, *at)


@oracle
@given(st.lists(st.one_of(missing, *KINDS.values()), min_size=2, max_size=4))
async def test_several_parameters(town: Any, drawn: list[tuple[str, str]]) -> None:
    type_ = drawn[0][0]
    await agree(town, type_, "&".join(clause for of, clause in drawn if of == type_))
