"""Security labels on every path: what a caller is not cleared for is absent, whatever is asked."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from fhir_server.auth import labels, tokens
from fhir_server.auth.people import accounts, roles
from fhir_server.auth.principals import current_principal
from fhir_server.context import Clearance
from fhir_server.kit import ids
from tests.auth.test_attacks import clean
from tests.http.client import Caller, caller, entry, observation

CANARY = "canary9a2c"
ALL = "system/*.cruds " + " ".join(sorted(labels.WORDS))
CODES = [code for codes in labels.SENSITIVE.values() for code in codes]


def label(code: str, system: str | None = None) -> dict[str, str]:
    return {"system": system or (labels.CONFIDENTIALITY if code in labels.LEVELS else labels.ACT_CODE), "code": code}


def labelled(*codes: str, **more: Any) -> dict[str, Any]:
    return observation(meta={"security": [label(code) for code in codes]}, **more)


@pytest.fixture
async def cleared(http, tenant) -> Caller:
    """A client that is cleared for everything."""
    return await caller(http, tenant, ALL)


async def made(who: Caller, resource: dict[str, Any]) -> str:
    answer = await who.post(resource["resourceType"], resource)
    assert answer.status == 201, answer.text
    return answer.id


# ---- the table: who is cleared for what ----


def sees(clearance: Clearance, codes: tuple[str, ...]) -> bool:
    """The rule in words: no level above, no class that is not named."""
    of_class = {code: name for name, held in labels.SENSITIVE.items() for code in held}
    return all(
        "ULMNRV".index(code) <= "ULMNRV".index(clearance.level)
        if code in "ULMNRV"
        else of_class[code] in clearance.classes
        for code in codes
    )


CLEARANCES = [
    Clearance(level, frozenset(names))
    for level in "NRV"
    for names in ((), ("mental",), ("mental", "SUD"), ("HIV", "PSYTHPN"), tuple(labels.SENSITIVE))
]


def test_every_clearance_against_every_pair_of_labels(tenant):
    def key(code):
        return labels.label_key(tenant, **label(code))

    pairs = [(), *((one,) for one in (*labels.LEVELS, *CODES)), *product(labels.LEVELS, CODES)]
    for clearance, codes in product(CLEARANCES, pairs):
        [grant] = labels.visible(tenant, clearance)
        assert grant.admits(frozenset(map(key, codes))) == sees(clearance, codes), (clearance, codes)


@pytest.mark.parametrize(
    ("role", "fhir_user", "special", "level", "classes"),
    [
        ("psychiatrist", "Practitioner/1", (), "V", set(labels.SENSITIVE) - {"PSYTHPN"}),
        ("psychiatrist", "Practitioner/1", ("__see/PSYTHPN",), "V", set(labels.SENSITIVE)),
        ("clinician", "Practitioner/1", ("__see/SUD", "__see/V"), "R", {"mental"}),
        ("patient", "Patient/1", ("__see/PSYTHPN",), "V", set(labels.SENSITIVE) - {"PSYTHPN"}),
        ("patient", "RelatedPerson/1", (), "R", {"mental"}),
        *((role, None, ("__see/V",), "N", set()) for role in ("device", "auditor", "administrator", "researcher")),
    ],
)
def test_what_a_role_is_cleared_for(role, fhir_user, special, level, classes):
    found = labels.of_person(roles.named([role]), fhir_user, special)
    assert (found.level, found.classes) == (level, classes)


def test_a_client_is_cleared_by_its_scopes():
    assert labels.of_client(()) == Clearance("R", frozenset({"mental"}))
    assert labels.of_client(labels.WORDS) == Clearance("V", frozenset(labels.SENSITIVE), True, True, custodian=True)
    assert labels.of_client(["__see/all"]) == Clearance("V", frozenset(labels.SENSITIVE), custodian=True)
    assert labels.of_client(["__see/nothing", "launch"]) == labels.ORDINARY


async def test_an_account_brings_its_clearance(tenant, unique):
    account = await accounts.add(tenant, login=unique, password="correct horse battery", roles=["clinician"])
    found = await current_principal(tenant, "clarity-cli", "user/*.rs __see/SUD", account=account)
    assert found.clearance == Clearance("R", frozenset({"mental"}), break_glass=True)


# ---- every path ----


class Ward:
    """A patient with something that everybody sees, and the same labelled, each holding a canary."""

    patient: str
    open: str
    hidden: dict[str, str]
    unique: str


@pytest.fixture
async def ward(cleared, unique) -> Ward:
    w = Ward()
    w.unique = unique
    w.patient = await made(cleared, {"resourceType": "Patient", "name": [{"family": f"Open{unique}"}]})
    ref = {"reference": f"Patient/{w.patient}"}
    identifier = [{"system": "http://ids.example", "value": unique}]
    w.open = await made(cleared, observation(subject=ref, identifier=identifier, valueString="plain"))
    w.hidden = {
        code: await made(cleared, labelled(code, subject=ref, identifier=identifier, valueString=CANARY))
        for code in ("PSYTHPN", "42CFRPart2", "HIV", "V", "ETHUD")
    }
    return w


PATHS = [
    "Observation/{id}", "Observation/{id}/_history/1", "Observation/{id}/_history", "Observation?_id={id}",
    "Observation/{id}/$meta", "Observation?_id={id}&_elements=status", "Observation?_id={id}&_summary=count",
]  # fmt: skip
SEARCHES = {
    "Observation?identifier=http://ids.example|{unique}": 1,
    "Observation?identifier=http://ids.example|{unique}&_sort=-date": 1,
    "Observation?subject=Patient/{patient}&_sort=_lastUpdated": 1,
    "Observation?subject=Patient/{patient}&_total=accurate&_count=1": 1,
    "Observation?subject=Patient/{patient}&_total=estimate&_count=1": 1,
    "Observation?subject=Patient/{patient}&_summary=count": 1,
    "Observation?subject.family=Open{unique}&_total=accurate": 1,
    "Observation?subject=Patient/{patient}&code=8867-4&_sort=-date&_total=accurate": 1,
    "Patient/{patient}/Observation?_total=accurate": 1,
    "Observation?subject=Patient/{patient}&_security:not=x&_total=accurate": 1,
    "Observation?subject=Patient/{patient}&_security:missing=false&_total=accurate": 0,
    "Observation?subject=Patient/{patient}&_security=PSYTHPN,42CFRPart2,HIV,V,ETHUD&_total=accurate": 0,
    "Patient?_id={patient}&_has:Observation:subject:_security=HIV&_total=accurate": 0,
    "Patient?_id={patient}&_has:Observation:subject:value-string=canary9a2c&_total=accurate": 0,
    "Observation?_filter=subject eq Patient/{patient} and value-string sw canary&_total=accurate": 0,
    "Observation?subject=Patient/{patient}&_text=canary9a2c&_total=accurate": 0,
    "Observation?subject=Patient/{patient}&_content=canary9a2c&_total=accurate": 0,
}
OTHERS = [
    "Patient?_id={patient}&_revinclude=Observation:subject", "Patient?_id={patient}&_revinclude=*",
    "Patient/{patient}/$everything", "Patient/{patient}/*", "Observation/$lastn?patient={patient}",
    "Observation/_history?_count=50", "_history?_count=50", "?_type=Observation,Patient&_id={patient}",
    "Observation/$stats?patient={patient}&code=http://loinc.org|8867-4&statistic=count", "Observation/$meta", "$meta",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
async def test_one_that_is_kept_is_one_that_never_was(system, ward, path):
    for id_ in ward.hidden.values():
        nobody = ids.new_id()
        about, absent = [await system.get(path.format(id=each)) for each in (id_, nobody)]
        assert clean(about, id_) == clean(absent, nobody)
        assert CANARY not in about.text


@pytest.mark.parametrize("path", SEARCHES)
async def test_searches_and_totals_leave_it_out(system, ward, path):
    answer = await system.get(path.format(patient=ward.patient, unique=ward.unique))
    assert answer.status == 200, answer.text
    assert CANARY not in answer.text.replace(f"={CANARY}", "")
    assert not any(id_ in answer.text for id_ in ward.hidden.values())
    assert answer.json.get("total", SEARCHES[path]) == SEARCHES[path]
    if "_summary=count" not in path:
        assert len([e for e in answer.json.get("entry", []) if e["search"]["mode"] == "match"]) == SEARCHES[path]


@pytest.mark.parametrize("path", OTHERS)
async def test_what_gathers_leaves_it_out(system, ward, path):
    answer = await system.get(path.format(patient=ward.patient))
    assert answer.status in (200, 400), answer.text
    assert CANARY not in answer.text
    assert not any(id_ in answer.text for id_ in ward.hidden.values())


@pytest.mark.parametrize(
    ("scope", "code"),
    [
        ("__see/PSYTHPN", "PSYTHPN"),
        ("__see/SUD", "42CFRPart2"),
        ("__see/SUD", "ETHUD"),
        ("__see/HIV", "HIV"),
        ("__see/V", "V"),
    ],
)
async def test_clearance_opens_its_class_alone(http, tenant, ward, scope, code):
    who = await caller(http, tenant, f"system/*.rs {scope}")
    opened = {each for each, id_ in ward.hidden.items() if (await who.get(f"Observation/{id_}")).status == 200}
    assert opened == ({"42CFRPart2", "ETHUD"} if scope == "__see/SUD" else {code})


async def test_notes_are_excluded_from_the_patient_too(http, tenant, ward):
    who = await caller(http, tenant, "patient/*.rs", ward.patient)
    assert (await who.get(f"Observation/{ward.open}")).status == 200
    assert (await who.get(f"Observation/{ward.hidden['PSYTHPN']}")).status == 404


async def test_a_bundle_reads_no_more(system, ward):
    gets = [entry("GET", f"Observation/{id_}") for id_ in ward.hidden.values()]
    answer = await system.transaction(*gets, kind="batch")
    assert [each["response"]["status"][:3] for each in answer.json["entry"]] == ["404"] * len(gets)
    assert CANARY not in answer.text


async def test_a_label_holds_for_the_versions_before_it(system, cleared):
    id_ = await made(system, observation(valueString=CANARY))
    assert (await cleared.put(f"Observation/{id_}", labelled("HIV", id=id_))).status == 200
    assert (await system.get(f"Observation/{id_}/_history/1")).status == 404
    assert (await system.get(f"Observation/{id_}/_history")).status == 404
    assert len((await cleared.get(f"Observation/{id_}/_history")).json["entry"]) == 2


async def test_a_version_keeps_the_label_that_it_had(system, cleared):
    id_ = await made(cleared, labelled("HIV", valueString=CANARY))
    assert (await cleared.put(f"Observation/{id_}", observation(id=id_))).status == 200  # declassified
    assert (await system.get(f"Observation/{id_}")).status == 200
    assert (await system.get(f"Observation/{id_}/_history/1")).status == 404
    history = await system.get(f"Observation/{id_}/_history")
    assert CANARY not in history.text
    assert len(history.json["entry"]) == 1


async def test_deleted_and_kept_is_absent(system, cleared):
    id_ = await made(cleared, labelled("HIV"))
    assert (await cleared.delete(f"Observation/{id_}")).status == 204
    assert (await cleared.get(f"Observation/{id_}")).status == 410
    assert (await system.get(f"Observation/{id_}")).status == 404


# ---- writing ----


async def test_who_does_not_see_it_does_not_change_it(system, ward):
    id_ = ward.hidden["HIV"]
    sent = [
        await system.put(f"Observation/{id_}", observation(id=id_)),
        await system.delete(f"Observation/{id_}"),
        await system.send("PATCH", f"Observation/{id_}", [{"op": "remove", "path": "/meta/security/0"}],
                          content_type="application/json-patch+json"),
        await system.post(f"Observation/{id_}/$meta-delete", meta_parameters(label("HIV"))),
    ]  # fmt: skip
    assert [answer.status for answer in sent] == [404, 404, 404, 404]


def meta_parameters(*security: dict[str, str]) -> dict[str, Any]:
    return {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": {"security": list(security)}}]}


async def test_labels_are_not_stripped(http, tenant, cleared):
    """Attack 49: by update, patch, $meta-delete and bundle, by somebody who sees the resource and may not declassify."""
    who = await caller(http, tenant, "system/*.cruds __see/HIV")
    for codes, left in [(["HIV"], []), (["R"], []), (["R"], ["N"]), (["HIV", "R"], ["R"])]:
        id_ = await made(cleared, labelled(*codes))
        gone = [label(code) for code in codes if code not in left]
        new = labelled(*left, id=id_) if left else observation(id=id_)
        patch = [{"op": "replace", "path": "/meta/security", "value": [label(code) for code in left]}] if left else (
            [{"op": "remove", "path": "/meta/security"}]
        )  # fmt: skip
        answers = [
            await who.put(f"Observation/{id_}", new),
            await who.send("PATCH", f"Observation/{id_}", patch, content_type="application/json-patch+json"),
            await who.post(f"Observation/{id_}/$meta-delete", meta_parameters(*gone)),
            await who.transaction(entry("PUT", f"Observation/{id_}", new)),
        ]
        assert [answer.status for answer in answers] == [403] * 4, (codes, left, [a.text for a in answers])
        assert {answer.issue for answer in answers} == {"label-removed"}
        found = (await cleared.get(f"Observation/{id_}")).json["meta"]["security"]
        assert [each["code"] for each in found] == codes
        assert (await cleared.put(f"Observation/{id_}", new)).status == 200  # with the right to declassify


async def test_labels_may_be_added_and_exchanged_within_a_class(http, tenant, cleared):
    who = await caller(http, tenant, "system/*.cruds __see/SUD")
    id_ = await made(cleared, labelled("ETH"))
    for codes in (["ETHUD"], ["42CFRPart2", "N"], ["SUD", "R"]):
        assert (await who.put(f"Observation/{id_}", labelled(*codes, id=id_))).status == 200


async def test_nobody_hides_what_they_write_from_themselves(system, http, tenant):
    """Attack 50: relabelled to be hidden. A service may post what is labelled higher than it reads."""
    id_ = await made(system, observation())
    assert (await system.put(f"Observation/{id_}", labelled("HIV", id=id_))).status == 403
    patient = await made(system, {"resourceType": "Patient"})
    who = await caller(http, tenant, "patient/*.cruds", patient)
    ref = {"reference": f"Patient/{patient}"}
    assert (await who.post("Observation", labelled("PSYTHPN", subject=ref))).status == 403
    posted = await system.post("Observation", labelled("PSYTHPN", subject=ref))
    assert posted.status == 201
    assert (await system.get(f"Observation/{posted.id}")).status == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"code": "R"},
        {"code": "psythpn"},
        label("V", "http://hl7.org/fhir/v3/Confidentiality"),
        label("HIV", "urn:oid:2.16.840.1.113883.5.4"),
    ],
)
async def test_a_label_that_would_be_overlooked_is_refused(system, wrong):
    answer = await system.post("Observation", observation(meta={"security": [wrong]}))
    assert (answer.status, answer.issue) == (422, "label-system")


async def test_codes_are_compared_without_regard_to_case(system, http, tenant):
    id_ = await made(system, observation(meta={"security": [label("psythpn", labels.ACT_CODE)]}))
    assert (await system.get(f"Observation/{id_}")).status == 404


async def test_an_id_that_is_taken_by_what_is_kept_is_not_found(system, ward):
    """A service that may create by PUT learns by 404 that the id is taken, and no more (docs/security.md)."""
    id_ = ward.hidden["HIV"]
    for answer in (await system.put(f"Observation/{id_}", observation(id=id_)),
                   await system.transaction(entry("PUT", f"Observation/{id_}", observation(id=id_)))):  # fmt: skip
        assert answer.status in (404, 409), answer.text
        assert CANARY not in answer.text


async def test_conditional_create_finds_only_what_is_seen(system, ward):
    condition = f"identifier=http://ids.example|{ward.unique}&value-string={CANARY}"
    answer = await system.post("Observation", observation(), if_none_exist=condition)
    assert answer.status == 201, "what is kept from the caller matches nothing"


async def test_mint_takes_words_of_clearance_and_no_others(tenant):
    assert await tokens.mint(tenant, "system/*.rs __see/HIV __declassify")
    with pytest.raises(tokens.MintError):
        await tokens.mint(tenant, "system/*.rs openid")
