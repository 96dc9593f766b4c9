"""Files become the right requests; a load goes on where it stopped; what is refused is named."""

import asyncio
import bz2
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fhir_server.cli.loading import sources
from fhir_server.cli.loading.ledger import Ledger, Step
from fhir_server.cli.loading.run import Load
from fhir_server.cli.loading.sender import Refusal, Sender, Unreachable


def patient(number: int | None, **more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **({"id": f"p{number}"} if number is not None else {}), **more}


def requests_of(part: sources.Part) -> list[dict[str, str]]:
    return [entry["request"] for entry in json.loads(part.body)["entry"]]


class Server:
    """Takes Bundles as a FHIR server does, and remembers; `down` names the request at which it stops answering."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.bundles: list[str] = []
        self.down: int | None = None
        self.tokens = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == f"Bearer token-{self.tokens}"
        if self.down is not None and len(self.bundles) >= self.down:
            raise httpx.ReadError("gone")
        bundle = json.loads(request.content)
        self.bundles.append(bundle["type"])
        wrong = [entry for entry in bundle["entry"] if "wrong" in entry["resource"]]
        if wrong and bundle["type"] == "transaction":
            return httpx.Response(422, json=self.outcome())
        self.taken += [entry["resource"] for entry in bundle["entry"] if entry not in wrong]
        answers = [
            {"response": {"status": "422", "outcome": self.outcome()} if entry in wrong else {"status": "201 Created"}}
            for entry in bundle["entry"]
        ]
        return httpx.Response(
            200, json={"resourceType": "Bundle", "type": f"{bundle['type']}-response", "entry": answers}
        )

    @staticmethod
    def outcome() -> dict[str, Any]:
        issue = {"severity": "error", "details": {"text": "unknown element"}, "expression": ["Patient.wrong"]}
        return {"resourceType": "OperationOutcome", "issue": [issue]}


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def sender(server: Server) -> AsyncIterator[Sender]:
    async def mint() -> str:
        server.tokens += 1
        return f"token-{server.tokens}"

    made = Sender("http://test/fhir", mint, 1)
    await made._client.aclose()
    made._client = httpx.AsyncClient(transport=httpx.MockTransport(server))
    yield made
    await made.close()


async def run(sender: Sender, folder: Path, ledger: Ledger) -> Load:
    load = Load(sender, ledger, lambda _: None, 1)
    await load.run(sources.find([folder]))
    return load


def test_transactions_and_batches_stay_as_they_are(tmp_path: Path) -> None:
    text = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [{"a": 72.50}, {}]}, indent=3).encode()
    for name, packed in (("a.json", text), ("b.json.gz", gzip.compress(text)), ("c.json.bz2", bz2.compress(text))):
        (tmp_path / name).write_bytes(packed)
        (part,) = sources.parts(tmp_path / name)
        assert (part.body, part.count, part.entire) == (text, 2, True)


def test_other_bundles_go_by_id_and_keep_their_inner_addresses(tmp_path: Path) -> None:
    entries = [{"resource": patient(1)}, {"fullUrl": "urn:uuid:x", "resource": patient(None)}, {"search": {}}]
    (tmp_path / "a.json").write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}))
    (part,) = sources.parts(tmp_path / "a.json")
    assert requests_of(part) == [{"method": "PUT", "url": "Patient/p1"}, {"method": "POST", "url": "Patient"}]
    assert json.loads(part.body)["entry"][1]["fullUrl"] == "urn:uuid:x"


def test_lines_are_grouped_and_numbers_stay_as_written(tmp_path: Path) -> None:
    lines = [f'{{"resourceType":"Observation","id":"o{n}","valueQuantity":{{"value":72.50}}}}' for n in range(450)]
    (tmp_path / "a.ndjson").write_text("\n".join([*lines[:3], "", *lines[3:], lines[0]]))
    found = list(sources.parts(tmp_path / "a.ndjson"))
    assert [part.count for part in found] == [200, 200, 51]
    assert b'"value":72.50' in found[0].body
    assert found[-1].numbers[-1] == 452
    assert all(part.position for part in found)
    twice = [lines[0], lines[0]]
    (tmp_path / "b.ndjson").write_text("\n".join(twice))
    assert [part.count for part in sources.parts(tmp_path / "b.ndjson")] == [1, 1]


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '"x"'])
def test_what_is_not_fhir_is_said(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(sources.Unreadable):
        list(sources.parts(tmp_path / "a.json"))


def test_what_others_refer_to_goes_first(tmp_path: Path) -> None:
    for name in ("b.json", "0-x.json", "a.json.bz2", "practitionerInformation1.json", "notes.txt"):
        (tmp_path / name).write_text("{}")
    names = [file.name for file in sources.find([tmp_path])]
    assert names == ["0-x.json", "practitionerInformation1.json", "a.json.bz2", "b.json"]
    with pytest.raises(sources.Unreadable):
        sources.find([tmp_path / "absent"])


async def test_one_wrong_resource_does_not_stop_its_neighbours(server: Server, sender: Sender, tmp_path: Path) -> None:
    lines = [patient(1), patient(2, wrong=True), patient(3)]
    (tmp_path / "a.ndjson").write_text("\n".join(map(json.dumps, lines)))
    load = await run(sender, tmp_path, Ledger(tmp_path / "l" / "ledger"))
    (report,) = load.reports
    assert server.bundles == ["transaction", "batch"]
    assert (report.loaded, report.refused) == (2, 1)
    assert report.refusals == [{"status": 422, "text": "unknown element (Patient.wrong)", "line": 2}]


async def test_a_load_goes_on_where_it_stopped(server: Server, sender: Sender, tmp_path: Path) -> None:
    data, state = tmp_path / "data", tmp_path / "ledger"
    data.mkdir()
    (data / "a.ndjson").write_text("\n".join(json.dumps(patient(n)) for n in range(500)))
    server.down = 2
    with pytest.raises(Unreachable):
        await run(sender, data, Ledger(state))
    assert len(server.taken) == 400
    server.down = None
    load = await run(sender, data, Ledger(state))
    assert (load.reports[0].skipped, load.reports[0].loaded) == (400, 100)
    assert sorted(resource["id"] for resource in server.taken) == sorted(f"p{n}" for n in range(500))
    load = await run(sender, data, Ledger(state))
    assert (load.reports[0].skipped, load.reports[0].loaded, len(server.taken)) == (500, 0, 500)
    await run(sender, data, Ledger(state, forget=True))
    assert len(server.taken) == 1000


async def test_a_refused_transaction_is_tried_again_next_time(server: Server, sender: Sender, tmp_path: Path) -> None:
    entry = {"resource": patient(1, wrong=True), "request": {"method": "PUT", "url": "Patient/p1"}}
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.json").write_text(json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": [entry]}))
    for _ in range(2):
        load = await run(sender, data, Ledger(tmp_path / "ledger"))
        assert (load.reports[0].loaded, load.reports[0].refused) == (0, 1)
    assert server.bundles == ["transaction", "transaction"]


async def test_an_unreadable_file_does_not_stop_the_others(server: Server, sender: Sender, tmp_path: Path) -> None:
    (tmp_path / "a.json.gz").write_bytes(b"not gzip")
    (tmp_path / "b.json").write_text("{")
    (tmp_path / "c.json").write_text(json.dumps(patient(1)))
    load = await run(sender, tmp_path, Ledger(tmp_path / "l" / "ledger"))
    assert [report.refused for report in load.reports] == [1, 1, 0]
    assert len(server.taken) == 1


def test_a_torn_line_of_the_ledger_is_left_out(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    ledger.note(Step("d", 2, 400, done=False))
    with (tmp_path / "ledger").open("ab") as file:
        file.write(b'{"digest":"d","par')
    assert Ledger(tmp_path / "ledger").at("d").parts == 2


async def test_what_was_refused_is_not_forgotten(server: Server, sender: Sender, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    lines = [json.dumps(patient(1)), "{broken", json.dumps(patient(2, wrong=True)), json.dumps(patient(3))]
    (data / "a.ndjson").write_text("\n".join(lines))
    (first,) = (await run(sender, data, Ledger(tmp_path / "ledger"))).reports
    assert (first.loaded, first.refused) == (2, 2)
    assert [refusal["line"] for refusal in first.refusals] == [2, 3]
    for _ in range(2):
        (again,) = (await run(sender, data, Ledger(tmp_path / "ledger"))).reports
        assert (again.loaded, again.skipped, again.refused) == (0, 2, 2)
        assert "--again" in again.refusals[0]["text"]
    assert len(server.taken) == 2
    (anew,) = (await run(sender, data, Ledger(tmp_path / "ledger", forget=True))).reports
    assert (anew.loaded, anew.skipped, anew.refused) == (2, 0, 2)


async def test_entries_of_a_collection_stand_for_themselves(server: Server, sender: Sender, tmp_path: Path) -> None:
    entries = [1, {"resource": patient(1)}, {"resource": 5}, {"resource": patient(2, wrong=True)}]
    (tmp_path / "a.json").write_text(json.dumps({"resourceType": "Bundle", "type": "collection", "entry": entries}))
    (report,) = (await run(sender, tmp_path, Ledger(tmp_path / "l" / "ledger"))).reports
    assert (report.loaded, [refusal["entry"] for refusal in report.refusals]) == (1, [0, 2, 3])


def test_the_first_bytes_say_how_a_file_is_packed(tmp_path: Path) -> None:
    text = json.dumps(patient(1)).encode()
    written = {"plain.json.gz": text, "packed.json": gzip.compress(text), "marked.json": b"\xef\xbb\xbf" + text}
    for name, content in written.items():
        (tmp_path / name).write_bytes(content)
        (part,) = sources.parts(tmp_path / name)
        assert requests_of(part) == [{"method": "PUT", "url": "Patient/p1"}]


async def test_damaged_archives_are_refused(server: Server, sender: Sender, tmp_path: Path) -> None:
    packed = gzip.compress(json.dumps(patient(1)).encode() * 500)
    (tmp_path / "cut.ndjson.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "torn.ndjson.gz").write_bytes(packed[:20] + b"xxxxxxxxxx" + packed[30:])
    load = await run(sender, tmp_path, Ledger(tmp_path / "l" / "ledger"))
    assert [report.refused for report in load.reports] == [1, 1]
    assert not server.taken


def test_a_folder_with_nothing_to_load_is_said(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(sources.Unreadable):
        sources.find([tmp_path])


async def test_a_load_that_is_ended_notes_what_was_under_way(server: Server, sender: Sender, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.ndjson").write_text("\n".join(json.dumps(patient(None)) for _ in range(900)))
    began, go_on = asyncio.Event(), asyncio.Event()
    send = sender.send

    async def slowly(part: sources.Part) -> list[Refusal]:
        began.set()
        await go_on.wait()
        return await send(part)

    sender.send = slowly  # type: ignore[method-assign]
    load = asyncio.create_task(run(sender, data, Ledger(tmp_path / "ledger")))
    await began.wait()
    load.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await load
    assert len(server.taken) == 200
    await run(sender, data, Ledger(tmp_path / "ledger"))
    assert len(server.taken) == 900
