"""The trail read back: against an oracle in Python, page by page, and only what the reader may see."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent

from fhir_server.audit import search as trail
from fhir_server.audit.names import event_id, row_key
from fhir_server.audit.partitions import ensure_partitions
from fhir_server.audit.record import audit_row, token_event, write_audit
from fhir_server.errors import BadSearch
from fhir_server.kit import ids, json
from fhir_server.storage.commands import Command, IndexRows
from fhir_server.storage.commit import commit
from fhir_server.storage.index_keys import COMPARTMENT, pack
from fhir_server.storage.visibility import EVERYTHING, NOTHING, Grant
from fhir_server.validation.validate import validate

START = datetime(2027, 1, 31, 22, tzinfo=UTC)


WINDOW = [("date", "ge2027-01-31"), ("date", "lt2027-03")]
"""When everything in World happened, and nothing else of these tests."""


async def found(ctx, *params, visibility=EVERYTHING, count=1000) -> list[dict[str, Any]]:
    page = await trail.search(ctx, list(params), visibility=visibility, count=count)
    return [json.decode_trusted(row.body) for row in page.rows]


class World:
    """Two clients, three patients, forty events over two months, with everything that was done."""

    def __init__(self, tenant) -> None:
        self.tenant = tenant
        self.events: list[dict[str, Any]] = []
        self.patients: dict[str, int] = {}
        self.observation = ("", 0)


@pytest.fixture
async def world(tenant, acting, unique):
    made = World(tenant)
    await ensure_partitions(tenant, START)
    names = [ids.new_id() for _ in range(3)]
    observation = ids.new_id()
    commands = [
        Command("create", "Patient", name, {"resourceType": "Patient"}, IndexRows(patients=[name])) for name in names
    ]
    about = IndexRows(patients=[names[0]])
    commands.append(Command("create", "Observation", observation, {"resourceType": "Observation"}, about))
    *people, written = await commit(tenant, commands)
    made.patients = {name: done.rid for name, done in zip(names, people, strict=True)}
    made.observation = (observation, written.rid)
    clients = [
        await acting(f"hub-{unique}", None, "192.0.2.7"),
        await acting(f"app-{unique}", f"Practitioner/{unique}", "2001:db8::9"),
    ]
    kinds = ["read", "search-type", "create", "delete", "vread"]
    rows = []
    for number in range(40):
        ctx, kind = clients[number % 2], kinds[number % 5]
        concerned = [names[i] for i in range(number % 4)]
        whole = kind != "search-type"
        ctx.request_id = f"{unique}-{number}"
        row = audit_row(
            ctx, kind, (200, 200, 404, 503)[number % 4], type="Observation", rid=written.rid if whole else None,
            version=1 if whole else None, patients=[made.patients[name] for name in concerned],
            query=None if whole else f"Observation?code=secret-{number}",
        )  # fmt: skip
        row.recorded = START + timedelta(minutes=10 * number)
        rows.append(row)
        made.events.append({"kind": kind, "patients": concerned, "row": row, "client": ctx.principal.client_id,
                            "person": ctx.principal.user, "address": ctx.address, "request": ctx.request_id})  # fmt: skip
    await write_audit(tenant, rows)
    made.ctx = await acting(f"auditor-{unique}")
    made.unique = unique
    return made


def expected(world, accept, patient=None):
    """Return (request, patient) of the events that the oracle accepts: one for each patient of an event, or one with none."""
    out = []
    for event in world.events:
        if accept(event):
            out += [(event["request"], each) for each in event["patients"] or [None] if patient in (None, each)]
    return sorted(out, key=repr)


def seen(events):
    out = []
    for event in events:
        entities = event.get("entity", [])
        patients = [e["what"]["reference"].removeprefix("Patient/") for e in entities if e["type"]["code"] == "1"]
        requests = [e["what"]["identifier"]["value"] for e in entities if e["type"]["code"] == "XrequestId"]
        out.append((requests[0], patients[0] if patients else None))
    return sorted(out, key=repr)


def _moment(event):
    return event["row"].recorded


FOUR = START + timedelta(minutes=240)
PARAMETERS = [
    ([("action", "R")], lambda e: e["kind"] in ("read", "vread")),
    ([("action", "R,D")], lambda e: e["kind"] in ("read", "vread", "delete")),
    ([("action", "http://hl7.org/fhir/audit-event-action|C")], lambda e: e["kind"] == "create"),
    ([("subtype", "vread")], lambda e: e["kind"] == "vread"),
    ([("subtype", "http://hl7.org/fhir/restful-interaction|read")], lambda e: e["kind"] == "read"),
    ([("subtype", "http://other|read")], lambda e: False),
    ([("subtype", "http://hl7.org/fhir/restful-interaction|")], lambda e: True),
    ([("type", "rest")], lambda e: True),
    ([("type", "110114")], lambda e: False),
    ([("outcome", "0")], lambda e: e["row"].status < 400),
    ([("outcome", "4")], lambda e: e["row"].status == 404),
    ([("outcome", "4,8")], lambda e: e["row"].status >= 400),
    ([("outcome", "12")], lambda e: False),
    ([("address", "192.0.2.7")], lambda e: e["address"] == "192.0.2.7"),
    ([("address", "192.0")], lambda e: e["address"] == "192.0.2.7"),
    ([("address", "2001:DB8")], lambda e: e["address"] == "2001:db8::9"),
    ([("address", "192_0")], lambda e: False),
    ([("address", "%")], lambda e: False),
    ([("agent", "hub-UNIQUE")], lambda e: e["client"].startswith("hub")),
    ([("agent", "Practitioner/UNIQUE")], lambda e: e["person"] is not None),
    ([("agent", "BASE/Practitioner/UNIQUE")], lambda e: e["person"] is not None),
    ([("agent:identifier", "hub-UNIQUE")], lambda e: e["client"].startswith("hub")),
    ([("agent:identifier", "x|hub-UNIQUE")], lambda e: e["client"].startswith("hub")),
    ([("agent-name", "HUB-UNIQUE")], lambda e: e["client"].startswith("hub")),
    ([("agent", "nobody")], lambda e: False),
    ([("entity", "Observation/ENTITY")], lambda e: e["row"].rid is not None),
    ([("entity", "Observation/never")], lambda e: False),
    ([("entity-role", "24")], lambda e: e["kind"] == "search-type"),
    ([("entity-type", "1")], lambda e: bool(e["patients"])),
    ([("date", "ge2027-02")], lambda e: _moment(e) >= datetime(2027, 2, 1, tzinfo=UTC)),
    ([("date", "lt2027-02-01")], lambda e: _moment(e) < datetime(2027, 2, 1, tzinfo=UTC)),
    ([("date", "2027-02-01")], lambda e: _moment(e).month == 2),
    ([("date", "ne2027-02-01")], lambda e: _moment(e).month == 1),
    ([("date", "gt2027-02-01T01:59:59Z"), ("date", "le2027-02-01T03:00:00Z")],
     lambda e: FOUR <= _moment(e) <= FOUR + timedelta(hours=1)),
    ([("_lastUpdated", "eb2027-02-01")], lambda e: _moment(e).month == 1),
    ([("date", "ge2027-02"), ("action", "R"), ("outcome", "0")],
     lambda e: _moment(e).month == 2 and e["kind"] in ("read", "vread") and e["row"].status < 400),
    ([("policy", "x")], lambda e: False),
    ([("_tag", "x")], lambda e: False),
]  # fmt: skip


@pytest.mark.parametrize(("params", "accept"), PARAMETERS, ids=[str(case[0]) for case in PARAMETERS])
async def test_every_parameter_against_an_oracle(world, tenant, params, accept):
    def filled(text: str) -> str:
        return text.replace("UNIQUE", world.unique).replace("ENTITY", world.observation[0]).replace("BASE", tenant.base)

    given = [(name, filled(value)) for name, value in params]
    events = await found(
        world.ctx,
        *given,
        *WINDOW,
        ("agent-name", f"hub-{world.unique},app-{world.unique}"),
    )
    assert seen(events) == expected(world, accept)


async def test_by_patient_only_what_concerns_that_patient(world):
    for name in world.patients:
        for text in (name, f"Patient/{name}", f"{world.tenant.base}/Patient/{name}"):
            events = await found(world.ctx, ("patient", text), *WINDOW)
            assert seen(events) == expected(world, lambda e: True, name)
    assert await found(world.ctx, ("patient", "nobody")) == []
    assert await found(world.ctx, ("patient", f"Device/{next(iter(world.patients))}")) == []


async def test_pages_show_everything_once_newest_first(world):
    everything = [
        *WINDOW,
        ("agent-name", f"hub-{world.unique},app-{world.unique}"),
    ]
    whole = [event["id"] for event in await found(world.ctx, *everything)]
    assert len(whole) == len(set(whole)) == len(expected(world, lambda e: True))
    for count in (1, 7, len(whole), 500):
        walked, cursor = [], None
        while True:
            page = await trail.search(
                world.ctx, everything + ([("_cursor", cursor)] if cursor else []), visibility=EVERYTHING, count=count
            )
            walked += [row.id for row in page.rows]
            cursor = page.next
            if cursor is None:
                break
            assert len(page.rows) == count
        assert walked == whole
    moments = [event["recorded"] for event in await found(world.ctx, *everything)]
    assert moments == sorted(moments, reverse=True)


async def test_total(world):
    params = [("agent", f"hub-{world.unique}")]
    for more, count in ((("_total", "accurate"), 3), (("_summary", "count"), 3), (("action", "R,E,C,D"), 0)):
        page = await trail.search(world.ctx, [*params, more], visibility=EVERYTHING, count=count)
        assert page.total == len(expected(world, lambda e: e["client"].startswith("hub")))
        assert len(page.rows) == (3 if more[0] == "_total" else 0)


async def test_each_event_is_read_by_its_id(world):
    events = await found(world.ctx, ("agent", f"app-{world.unique}"))
    assert events
    for event in events:
        stored = await trail.read(world.ctx, event["id"], EVERYTHING)
        assert json.decode_trusted(stored.body) == event


@pytest.mark.parametrize(
    "id_", ["x", "0" * 32, "f" * 32, "0" * 32 + "-00000000", "a" * 31, "A" * 32, "06h068tqgltqc56f344dll8l98"]
)
async def test_ids_that_mean_nothing(world, id_):
    assert await trail.read(world.ctx, id_, EVERYTHING) is None


async def test_ids_tell_neither_time_nor_count(tenant, tenants):
    moment = datetime(2026, 5, 1, tzinfo=UTC)
    made = [event_id(tenant, moment, number, None) for number in (1, 2)]
    assert sum(a == b for a, b in zip(*made, strict=True)) < 16
    assert row_key(tenant, made[0]) is not None
    assert row_key(tenant, made[0]).id == 1
    [other] = [each for each in tenants.values() if each is not tenant]
    foreign = row_key(other, made[0])
    assert foreign is None or foreign.recorded != moment


# ---- who sees what ----


async def test_a_patient_sees_its_own_and_no_word_of_others(world):
    first, second, third = world.patients
    own = (Grant((pack(COMPARTMENT, world.patients[first]),)),)
    events = await found(world.ctx, *WINDOW, visibility=own)
    assert seen(events) == expected(world, lambda e: True, first)
    text = json.encode(events).decode()
    assert second not in text
    assert third not in text
    assert "secret-" not in text  # the text of a query may name others
    # Asking for another's gives nothing, by search and by id.
    assert await found(world.ctx, ("patient", second), visibility=own) == []
    for event in await found(world.ctx, ("patient", second), *WINDOW):
        assert await trail.read(world.ctx, event["id"], own) is None
    total = await trail.search(world.ctx, [*WINDOW, ("_total", "accurate")], visibility=own, count=1)
    assert total.total == len(expected(world, lambda e: True, first))


async def test_visibilities(world):
    a, b, _ = world.patients.values()
    by = ("agent-name", f"hub-{world.unique},app-{world.unique}")
    label = -12345
    cases = [
        (NOTHING, lambda e: False, None),
        ((Grant((label,)),), lambda e: False, None),
        ((Grant((pack(COMPARTMENT, a), label)),), lambda e: False, None),
        ((Grant(none_of=(label,)),), lambda e: True, None),
        ((Grant(none_of=(pack(COMPARTMENT, b),)),), lambda e: len(e["patients"]) < 2, None),
    ]
    for visibility, accept, patient in cases:
        assert seen(await found(world.ctx, *WINDOW, by, visibility=visibility)) == expected(world, accept, patient)
    either = (Grant((pack(COMPARTMENT, a),)), Grant((pack(COMPARTMENT, b),)))
    events = await found(world.ctx, *WINDOW, by, visibility=either)
    assert {patient for _, patient in seen(events)} == set(list(world.patients)[:2])


async def test_an_auditor_reads_the_query(world):
    events = await found(world.ctx, ("entity-role", "24"), ("agent-name", f"hub-{world.unique}"))
    assert events
    for event in events:
        [query] = [entity for entity in event["entity"] if "query" in entity]
        assert query["description"].startswith("Observation?code=secret-")


async def test_a_cursor_is_of_one_client_and_whole(world, acting):
    page = await trail.search(world.ctx, [], visibility=EVERYTHING, count=1)
    other = await acting("somebody-else")
    for ctx, cursor in (
        (other, page.next),
        (world.ctx, page.next[:-4] + "AAAA"),
        (world.ctx, "x"),
        (world.ctx, "\u00e9"),
    ):
        with pytest.raises(BadSearch):
            await trail.search(ctx, [("_cursor", cursor)], visibility=EVERYTHING, count=1)


REFUSED = [
    ("nothing", "x"), ("date", "yesterday"), ("date", "xx2020"), ("patient.name", "x"), ("type:not", "rest"),
    ("agent:missing", "true"), ("_sort", "agent"), ("_sort", "date"), ("entity", "plain"), ("entity", "a b"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), REFUSED)
async def test_what_cannot_be_asked(world, name, value):
    with pytest.raises(BadSearch):
        await found(world.ctx, (name, value))


async def test_unknown_parameters_are_left_out_when_asked_leniently(world):
    world.ctx.lenient = True
    page = await trail.search(world.ctx, [("nothing", "x")], visibility=EVERYTHING, count=1)
    assert page.rows
    assert [issue.severity for issue in page.issues] == ["warning"]


INJECTIONS = ["'; DROP TABLE audit; --", "$1", "{s}", "x') OR TRUE --", "\\", "%", "\u0000"[:0] + "a'b"]


@pytest.mark.parametrize("text", INJECTIONS)
async def test_values_are_never_sql(world, text):
    for name in ("address", "agent", "agent-name", "action", "outcome", "site", "_id", "type"):
        assert await found(world.ctx, (name, text)) == []


# ---- the form ----


async def test_events_are_valid_by_our_validator_and_by_another(world, tenant, unique):
    await token_event(
        tenant, agent=0, status=400, request=unique, address="192.0.2.1", detail={"error": "invalid_client"}
    )
    await token_event(
        tenant, agent=world.ctx.principal.agent, status=200, request=unique, address=None, detail={"token": "t"}
    )
    events = [event for kind in ("rest", "110114") for event in await found(world.ctx, ("type", kind), count=200)]
    assert {event["type"]["code"] for event in events} >= {"rest", "110114"}
    for event in events:
        assert validate(event) == []
        AuditEvent.model_validate(event)


async def test_the_pattern_of_balp(world):
    """IHE BALP 1.1.4: roles of the two sides, the requestor, versioned ids, outcome, one patient an event."""
    events = await found(world.ctx, ("agent", f"app-{world.unique}"), ("action", "R"), ("outcome", "0"))
    for event in events:
        assert event["type"]["code"] == "rest"
        client, server, person = event["agent"]
        assert client["type"]["coding"][0]["code"] == "110152"
        assert server["type"]["coding"][0]["code"] == "110153"
        assert (client["requestor"], server["requestor"], person["requestor"]) == (False, False, True)
        assert person["who"] == {"reference": f"Practitioner/{world.unique}"}
        assert all(agent.get("network") for agent in (client, server))
        data = [entity for entity in event["entity"] if entity.get("role", {}).get("code") == "4"]
        assert data[0]["what"]["reference"] == f"Observation/{world.observation[0]}/_history/1"
        assert sum(entity.get("role", {}).get("code") == "1" for entity in event["entity"]) <= 1
    failed = await found(world.ctx, ("outcome", "8"), ("agent-name", f"app-{world.unique}"))
    assert all(event["outcomeDesc"] == "HTTP 503" for event in failed)
