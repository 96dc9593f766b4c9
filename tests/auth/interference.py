"""Two worlds that differ only in what is hidden, and random requests to send to both (attack 117)."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

from fhir_server.auth.labels import ACT_CODE
from tests.auth.test_consent import consent
from tests.auth.test_labels import labelled
from tests.http.client import entry, observation

WORD = "hidden3b7e"
IDS = "http://ids.example"
CODES = ["8867-4", "718-7", "85354-9"]
TYPES = [
    "Observation",
    "Condition",
    "Encounter",
    "Patient",
    "Communication",
    "Organization",
    "Practitioner",
    "List",
    "Group",
    "Provenance",
]


def ref(type_: str, id_: str) -> dict[str, str]:
    return {"reference": f"{type_}/{id_}"}


def measured(id_: str, patient: str, n: int, **more: Any) -> dict[str, Any]:
    """An Observation; those with the same number are alike whosesoever they are."""
    code = {"coding": [{"system": "http://loinc.org", "code": CODES[n % 3]}]}
    base = observation(
        id=id_,
        subject=ref("Patient", patient),
        code=code,
        identifier=[{"system": IDS, "value": f"v{n}"}],
        effectiveDateTime=f"2024-0{n % 9 + 1}-1{n % 9}T08:00:00Z",
        valueQuantity={"value": 60 + n, "unit": "/min"},
    )
    return base | more


def of_patient(patient: str, tag: str, count: int, caregiver: str | None = None, **more: Any) -> list[dict[str, Any]]:
    """A record: `tag` begins its ids."""
    who: dict[str, Any] = {
        "resourceType": "Patient",
        "id": patient,
        "name": [{"family": f"Family{tag}", "given": ["Ann"]}],
        "gender": "female",
        "birthDate": "1980-02-03",
        "identifier": [{"system": IDS, "value": f"p-{tag}"}],
    }
    if caregiver:
        who["generalPractitioner"] = [ref("Practitioner", caregiver)]
    visit = {
        "resourceType": "Encounter",
        "id": f"{tag}e0",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": ref("Patient", patient),
        "serviceProvider": ref("Organization", "org"),
        "period": {"start": "2024-01-01", "end": "2024-01-02"},
    }
    found = [who, visit]
    found += [measured(f"{tag}o{n}", patient, n, encounter=ref("Encounter", f"{tag}e0"), **more) for n in range(count)]
    found += [
        {
            "resourceType": "Condition",
            "id": f"{tag}c{n}",
            "subject": ref("Patient", patient),
            "code": {"text": f"trouble {n}"},
            "identifier": [{"system": IDS, "value": f"v{n}"}],
            "recordedDate": f"2024-0{n + 1}-01",
        }
        for n in range(3)
    ]
    return found


def told_of(id_: str, *targets: str, who: str = "Doc") -> dict[str, Any]:
    """A Provenance of others."""
    return {
        "resourceType": "Provenance", "id": id_, "recorded": "2024-01-01T00:00:00Z", "agent": [{"who": {"display": who}}],
        "target": [{"reference": each} for each in targets],
    }  # fmt: skip


def mentions(*, grouped: bool) -> dict[str, Any]:
    """Name everything that is seen, first of all: the order of a search is that in which resources were first mentioned."""
    items = [{"item": ref(each["resourceType"], each["id"])} for each in seen_by_all(grouped=grouped)]
    return {"resourceType": "List", "id": "first", "status": "current", "mode": "working", "entry": items}


def seen_by_all(*, grouped: bool) -> list[dict[str, Any]]:
    """What both worlds hold; some of it names what only one of them has. `grouped`: a Group, which is in its members' records."""
    found: list[dict[str, Any]] = [
        {"resourceType": "Organization", "id": "org", "name": "House"},
        {"resourceType": "Practitioner", "id": "doc", "name": [{"family": "Doc"}]},
        *of_patient("pa", "a", 8, caregiver="doc"),
        {
            "resourceType": "List",
            "id": "la",
            "status": "current",
            "mode": "working",
            "subject": ref("Patient", "pa"),
            "entry": [{"item": ref("Observation", each)} for each in ("ao1", "bo1", "ho1")],
        },
        {
            "resourceType": "Group",
            "id": "ga",
            "type": "person",
            "actual": True,
            "member": [{"entity": ref("Patient", each)} for each in ("pa", "pb" if grouped else "pz")],
        },
        measured("afocus", "pa", 2, focus=[ref("Observation", "bo1"), ref("Observation", "ho2")]),
        measured("amember", "pa", 4, hasMember=[ref("Observation", "bo2"), ref("Observation", "ao2")]),
        told_of("at0", "Observation/ao1"),
        told_of("at1", "Patient/pa", "Encounter/ae0", "Provenance/at0"),
    ]
    if grouped:  # hidden in both: what is not there and what is hidden are the same for people, not for services
        found += [told_of("mt0", "Observation/ao1", "Observation/bo1"), told_of("mt1", "Patient/pa", "Observation/ho1")]
    return found


def hidden(*, opted_out: bool) -> list[dict[str, Any]]:
    """What one world holds beside it: another patient's record, and labelled parts of the one that is seen."""
    words = {"note": [{"text": WORD}]}
    found = of_patient("pb", "b", 9, **words)
    found[0]["name"][0]["given"].append(WORD)
    found += [
        measured("bfocus", "pb", 3, focus=[ref("Patient", "pa")], performer=[ref("Practitioner", "doc")], **words)
    ]
    found += [told_of("bt0", "Observation/bo1", who=WORD), told_of("bt1", "Patient/pb", "Encounter/be0", who=WORD)]
    if opted_out:
        found.append(consent("pb", "OPTOUT") | {"id": "bconsent"})
    codes = ("PSYTHPN", "HIV", "42CFRPart2", "V", "SDV", "ETHUD")
    for n, code in enumerate(codes):
        label = labelled(code)["meta"]
        found.append(measured(f"ho{n}", "pa", n, meta=label, derivedFrom=[ref("Observation", "ao1")], **words))
    trouble = {"resourceType": "Condition", "id": "hc0", "subject": ref("Patient", "pa"), "code": {"text": WORD}}
    found.append(
        trouble
        | {"meta": {"security": [{"system": ACT_CODE, "code": "PSYTHPN"}]}, "encounter": ref("Encounter", "ae0")}
    )
    found += [told_of("ht0", "Observation/ho1", who=WORD), told_of("ht1", "Patient/pa", "Condition/hc0", who=WORD)]
    return found


HIDDEN = {
    "Observation": ["bo0", "bo1", "bo2", "bfocus", "ho0", "ho1", "ho2", "ho5"],
    "Condition": ["bc0", "bc1", "hc0"],
    "Encounter": ["be0"],
    "Patient": ["pb"],
    "Consent": ["bconsent"],
    "Provenance": ["bt0", "bt1", "ht0", "ht1", "mt0", "mt1"],
}


@dataclass
class Request:
    method: str
    path: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    follow: bool = False
    """The link to the next page of each world's last search."""


@dataclass
class Generator:
    """Random requests; `may_name` says whether writes may be about what is hidden."""

    rng: random.Random
    may_name: bool
    grouped: bool
    known: dict[str, list[str]] = field(default_factory=dict)
    made: int = 0

    def __post_init__(self) -> None:
        for resource in seen_by_all(grouped=self.grouped):
            self.known.setdefault(resource["resourceType"], []).append(resource["id"])

    def learn(self, answer: dict[str, Any]) -> None:
        """Keep the id of what was created."""
        if "id" in answer and answer.get("resourceType") in TYPES:
            self.known.setdefault(answer["resourceType"], []).append(answer["id"])

    # ---- parts ----

    def type(self) -> str:
        return self.rng.choice([*TYPES, "Observation", "Observation", "Condition", "Patient"])

    def id(self, type_: str, *, write: bool = False) -> str:
        pools = [self.known.get(type_) or ["none"], ["never-was"]]
        if not write or self.may_name:
            pools.append(HIDDEN.get(type_, ["none"]))
        return self.rng.choice(self.rng.choice(pools))

    def patient(self, *, write: bool = False) -> str:
        return self.rng.choice(["pa", "pa", "pa", "pb" if not write or self.may_name else "pa", "nobody"])

    def clause(self, type_: str) -> str:
        n = self.rng.randrange(9)
        day = f"2024-0{n % 9 + 1}"
        common = [
            f"_id={self.id(type_)},{self.id(type_)}",
            "_lastUpdated=ge2020",
            f"_id={self.id(type_)}",
            "_tag=x",
            f"_content={WORD}",
            f"_text={WORD}",
            "_security=PSYTHPN,HIV",
            "_security:missing=false",
            "_security:not=R",
            "_profile:missing=true",
        ]
        by_type = {
            "Observation": [
                f"subject=Patient/{self.patient()}",
                f"code={self.rng.choice(CODES)}",
                f"date=ge{day}",
                f"identifier={IDS}|v{n}",
                f"value-quantity=gt{60 + n}",
                "subject.name=Family",
                f"subject.identifier={IDS}|p-b",
                f"patient={self.patient()}",
                f"encounter={self.id('Encounter')}",
                f"encounter.subject={self.patient()}",
                f"focus=Observation/{self.id('Observation')}",
                f"has-member={self.id('Observation')}",
                f"derived-from.code={self.rng.choice(CODES)}",
                "subject:missing=false",
                f"_has:Observation:derived-from:code={CODES[n % 3]}",
                "code:text=heart",
                f"_list={self.id('List')}",
                f"_filter=code eq {CODES[n % 3]} and date gt {day}",
                "performer=Practitioner/doc",
                "code-value-quantity=8867-4$gt1",
                f"_has:List:item:_id={self.id('List')}",
                f"combo-code={CODES[n % 3]}",
            ],
            "Patient": [
                "name=Family",
                f"family:contains={WORD[:6]}",
                f"given={WORD}",
                "birthdate=1980-02-03",
                f"identifier={IDS}|p-b",
                f"_has:Observation:subject:code={CODES[n % 3]}",
                "_has:Observation:patient:value-quantity=gt65",
                "gender=female",
                "general-practitioner=Practitioner/doc",
                "_has:Condition:subject:_id=bc0,hc0",
                "_has:Group:member:_id=ga",
                "link:missing=true",
            ],
            "Condition": [
                f"patient={self.patient()}",
                "code:text=trouble",
                f"encounter={self.id('Encounter')}",
                f"identifier={IDS}|v{n}",
                f"recorded-date=ge{day}",
                f"code:text={WORD}",
            ],
            "Encounter": [
                f"patient={self.patient()}",
                "status=finished",
                "_has:Observation:encounter:code=8867-4",
                "service-provider=org",
                f"date=lt{day}",
                "_has:Condition:encounter:_id=hc0",
            ],
            "Group": ["member=Patient/pb", "type=person"],
            "List": [f"item={self.id('Observation')}", f"subject={self.patient()}"],
            "Provenance": [
                f"target=Observation/{self.id('Observation')}",
                f"target=Provenance/{self.id('Provenance')}",
                f"patient={self.patient()}",
                f"target.code={self.rng.choice(CODES)}",
                f"target:Observation.subject=Patient/{self.patient()}",
                "recorded=ge2024",
            ],
            "Practitioner": ["name=Doc", "_has:Observation:performer:_id=bfocus"],
            "Organization": ["_has:Encounter:service-provider:_id=be0"],
        }
        return self.rng.choice(by_type.get(type_, common) + common[: 4 if self.rng.random() < 0.7 else 10])

    def control(self, type_: str) -> str:
        return self.rng.choice(
            [
                "_total=accurate",
                "_total=estimate",
                "_total=none",
                "_summary=count",
                "_summary=true",
                "_count=1",
                "_count=2",
                "_count=3",
                "_sort=-_lastUpdated",
                "_sort=_id",
                "_elements=id",
                "_include=*",
                "_revinclude=*",
                f"_revinclude=Observation:{self.rng.choice(['subject', 'derived-from', 'focus', 'encounter'])}",
                "_include=Observation:has-member",
                "_include=Observation:subject",
                "_include:iterate=Observation:derived-from",
                "_revinclude=List:item",
                "_include=List:item",
                "_include=Group:member",
                "_sort=-date" if type_ == "Observation" else "_sort=_lastUpdated",
                "_revinclude=Condition:encounter",
                "_revinclude=Provenance:target",
                "_include=Provenance:target",
            ]
        )

    def query(self, type_: str) -> str:
        parts = [self.clause(type_) for _ in range(self.rng.choice([0, 1, 1, 1, 2]))]
        parts += [self.control(type_) for _ in range(self.rng.choice([0, 1, 1, 2]))]
        return "?" + "&".join(parts) if parts else ""

    def resource(self, type_: str, id_: str | None) -> dict[str, Any]:
        n, patient = self.rng.randrange(9), self.patient(write=True)
        if type_ == "Condition":
            made: dict[str, Any] = {
                "resourceType": "Condition",
                "subject": ref("Patient", patient),
                "code": {"text": f"new {n}"},
            }
        elif type_ == "Communication":
            made = {"resourceType": "Communication", "status": "completed", "subject": ref("Patient", patient)}
        elif type_ == "Provenance":
            named = [f"Observation/{self.id('Observation', write=True)}", f"Patient/{patient}"]
            made = told_of("x", *named[: self.rng.choice([1, 2])])
            del made["id"]
        else:
            made = measured("x", patient, n)
            del made["id"]
            if self.rng.random() < 0.3:
                made["derivedFrom"] = [ref("Observation", self.id("Observation"))]
        return made | ({"id": id_} if id_ else {})

    # ---- requests ----

    def request(self) -> Request:
        kind = self.rng.choices(
            [
                self.read,
                self.search,
                self.follow,
                self.compartment,
                self.operation,
                self.create,
                self.update,
                self.remove,
                self.patch,
                self.bundle,
                self.posted,
                self.histories,
            ],
            [18, 34, 6, 5, 8, 7, 6, 3, 3, 6, 2, 4],
        )[0]
        return kind()

    def read(self) -> Request:
        type_ = self.type()
        path = f"{type_}/{self.id(type_)}"
        path += self.rng.choice(
            [
                "",
                "",
                "",
                "/_history",
                "/_history/1",
                "/_history/2",
                "?_summary=true",
                "?_elements=id",
                "/_history?_count=1",
            ]
        )
        headers = self.rng.choice([{}, {}, {}, {"if_none_match": 'W/"1"'}, {"accept": "application/fhir+xml"}])
        return Request(self.rng.choice(["GET", "GET", "GET", "HEAD"]), path, None, headers)

    def search(self) -> Request:
        type_ = self.type()
        return Request("GET", type_ + self.query(type_), None, self.rng.choice([{}, {}, {"prefer": "handling=strict"}]))

    def posted(self) -> Request:
        type_ = self.type()
        form = {"content_type": "application/x-www-form-urlencoded"}
        return Request("POST", f"{type_}/_search", self.query(type_)[1:].encode(), form)

    def follow(self) -> Request:
        return Request("GET", "", follow=True)

    def histories(self) -> Request:
        return Request(
            "GET",
            self.rng.choice(
                [
                    "_history?_count=20",
                    "Observation/_history?_count=5",
                    "Patient/_history",
                    "Condition/_history?_since=2020-01-01T00:00:00Z",
                    "?_type=Observation,Condition&_count=5",
                    f"?_type=Patient,Observation&_id={self.id('Patient')},{self.id('Observation')}",
                ]
            ),
        )

    def compartment(self) -> Request:
        type_ = self.rng.choice(["Observation", "Condition", "Encounter", "Provenance", "*"])
        where = self.rng.choice([f"Patient/{self.patient()}", f"Encounter/{self.id('Encounter')}", "Practitioner/doc"])
        return Request("GET", f"{where}/{type_}" + (self.query(type_) if type_ != "*" else ""))

    def operation(self) -> Request:
        return Request(
            "GET",
            self.rng.choice(
                [
                    f"Patient/{self.patient()}/$everything?_count={self.rng.choice([2, 50])}",
                    f"Encounter/{self.id('Encounter')}/$everything",
                    f"Observation/$lastn?patient={self.patient()}",
                    f"Observation/{self.id('Observation')}/$meta",
                    "Observation/$meta",
                    "$meta",
                    f"Observation/$stats?subject=Patient/{self.patient()}&code=8867-4&system=http://loinc.org&statistic=count,average",
                    f"Patient/{self.patient()}/$twin?wait=0",
                    f"Observation/$explain?code={self.rng.choice(CODES)}",
                ]
            ),
        )

    def create(self) -> Request:
        type_ = self.rng.choice(["Observation", "Observation", "Condition", "Communication", "Provenance"])
        headers = {}
        if self.rng.random() < 0.5:
            headers["if_none_exist"] = self.rng.choice(
                [
                    f"identifier={IDS}|v{self.rng.randrange(12)}",
                    f"_id={self.id(type_)}",
                    f"subject=Patient/{self.patient()}",
                    f"_content={WORD}",
                ]
            )
        return Request("POST", type_, self.resource(type_, None), headers)

    def update(self) -> Request:
        type_ = self.rng.choice(["Observation", "Condition"])
        if self.rng.random() < 0.25:
            return Request("PUT", f"{type_}?identifier={IDS}|v{self.rng.randrange(12)}", self.resource(type_, None))
        id_ = self.id(type_, write=True)
        headers = self.rng.choice([{}, {}, {"if_match": 'W/"1"'}, {"if_match": 'W/"7"'}, {"if_none_match": "*"}])
        return Request("PUT", f"{type_}/{id_}", self.resource(type_, id_), headers)

    def remove(self) -> Request:
        type_ = self.rng.choice(["Observation", "Condition", "Encounter"])
        by = f"identifier={IDS}|v{self.rng.randrange(12)}&_lastUpdated=gt2020"
        pool = [each for each in self.known.get(type_, []) if len(each) > 10]  # seeds stay
        target = self.rng.choice(pool or ["never-was"]) if self.rng.random() < 0.5 else self.rng.choice(HIDDEN[type_])
        return Request("DELETE", f"{type_}?{by}" if self.rng.random() < 0.3 else f"{type_}/{target}")

    def patch(self) -> Request:
        type_ = "Observation"
        to = (
            f"{type_}?identifier={IDS}|v{self.rng.randrange(12)}"
            if self.rng.random() < 0.3
            else f"{type_}/{self.id(type_)}"
        )
        change = self.rng.choice(
            [
                [
                    {"op": "test", "path": "/status", "value": "final"},
                    {"op": "replace", "path": "/status", "value": "amended"},
                ],
                [{"op": "test", "path": "/note/0/text", "value": WORD}],
                [{"op": "remove", "path": "/meta/security/0"}],
            ]
        )
        return Request("PATCH", to, json.dumps(change).encode(), {"content_type": "application/json-patch+json"})

    def bundle(self) -> Request:
        kind = self.rng.choice(["batch", "batch", "transaction"])
        entries = []
        for _ in range(self.rng.randrange(1, 4)):
            # Entries of a batch run at once, so that which of them gets which id is chance.
            ways = (
                [self.read, self.update, self.remove]
                if kind == "batch"
                else [self.read, self.search, self.create, self.update]
            )
            one = self.rng.choice(ways)()
            if one.method == "HEAD" or (kind == "batch" and one.method == "PUT" and "?" in one.path):
                continue
            more = {"ifNoneExist": one.headers["if_none_exist"]} if "if_none_exist" in one.headers else {}
            entries.append(entry(one.method, one.path, one.body, **more))
        return Request(
            "POST", "", {"resourceType": "Bundle", "type": kind, "entry": entries or [entry("GET", "Patient/pa")]}
        )
