"""What real exports and senders have wrong: what can be read is read, the rest is told with its place, nothing is guessed."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import Any

import pytest

from tests.workers.ingest import making
from tests.workers.ingest.making import record
from workers.ingest import files, health_connect, healthkit, table
from workers.ingest.observe import observation
from workers.ingest.sample import Item, Origin, Sample, Unusable, Value
from workers.ingest.times import moment

HR = "HKQuantityTypeIdentifierHeartRate"
BEAT = record(HR, "62", "2026-01-05 08:00:00 +0100", unit="count/min")
MAPPING = 'source = "x"\nzone = "Europe/Berlin"\n[time]\nstart = "t"\n[[value]]\ncolumn = "hr"\ntype = "heart-rate"\n'


def items(content: bytes, **more: Any) -> list[Item]:
    return [row.item for row in files.read(io.BytesIO(content), None, **more)]


def test_control_characters_of_an_app_cost_no_record() -> None:
    (found,) = items(f"<HealthData>{BEAT.replace('Watch of A', chr(11) + 'Watch' + chr(0))}</HealthData>".encode())
    assert isinstance(found, Sample)
    assert found.origin.source.split() == ["apple-health/", "Watch"]


@pytest.mark.parametrize(
    "kind", ["<!DOCTYPE HealthData>", "<!DOCTYPE HealthData [\n<!ELEMENT Me (x)\n<!ATTLIST a b\n]>", ""]
)
def test_a_document_type_that_is_malformed_costs_nothing(kind: str) -> None:
    assert len(items(f'<?xml version="1.0"?>\n{kind}\n<HealthData>{BEAT}</HealthData>'.encode())) == 1


def test_entities_are_not_expanded_however_they_are_declared() -> None:
    bomb = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 9))
    text = f'<!DOCTYPE HealthData [<!ENTITY e0 "aaaaaaaaaa">{bomb}]><HealthData>{BEAT.replace("Watch of A", "&e8;")}</HealthData>'
    (found,) = items(text.encode())
    assert isinstance(found, Sample)
    assert found.origin.source == "apple-health/&e8;"


def test_an_ampersand_is_read_wherever_the_parts_of_the_file_end() -> None:
    for shift in range(0, 40, 3):
        text = (
            f"<HealthData>{' ' * (32768 - 60 + shift)}{BEAT.replace('Watch of A', 'A & B &amp; C&#33;')}</HealthData>"
        )
        (found,) = items(text.encode())
        assert isinstance(found, Sample)
        assert found.origin.source == "apple-health/A & B & C!"


def test_a_summary_without_a_number_is_no_number() -> None:
    head = "timestamp,rmssd,nremhr,entropy\n"
    rows = {"3": "2026-01-03T00:00:00,NaN,54,2", "4": "2026-01-04T00:00:00,,54,2", "5": "2026-01-05T00:00:00,34.5,54,2"}
    found = items(
        making.fitbit(
            {f"Daily Heart Rate Variability Summary - 2026-01-0{day}.csv": head + row for day, row in rows.items()}
        )
    )
    assert [item.value.number for item in found if isinstance(item, Sample) and item.value] == [Decimal("34.5")]


@pytest.mark.parametrize("number", [Decimal("NaN"), Decimal("Infinity"), Decimal("1E+400"), Decimal("-1E+400")])
def test_no_observation_of_what_is_no_number(number: Decimal) -> None:
    sample = Sample("heart-rate", Origin("x"), moment("2026-01-05T08:00:00Z"), value=Value(number, "/min"))
    with pytest.raises(Unusable):
        observation("p", sample)


def test_numbers_are_read_by_the_mark_that_the_mapping_says() -> None:
    comma = table.mapping(('decimal = ","\ndelimiter = ";"\n' + MAPPING).encode())
    found = items(b"t;hr\n2026-01-05 08:00;62,5\n2026-01-05 08:01;62.5\n2026-01-05 08:02;6_2\n", by=comma)
    assert [isinstance(item, Sample) for item in found] == [True, False, False]
    point = table.mapping(MAPPING.encode())
    found = items(b't,hr\n2026-01-05 08:00,"62,5"\n2026-01-05 08:01,"1,062"\n2026-01-05 08:02,62.5\n', by=point)
    assert [isinstance(item, Sample) for item in found] == [False, False, True]


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('type = "heart-rate"', 'type = "heart-rate"\nfactor = "0,5"', "value[0].factor"),
        ('type = "heart-rate"', 'type = "heart-rate"\nfactor = nan', "value[0].factor"),
        ('type = "heart-rate"', 'type = "heart-rate"\nparts = ["x"]', "value[0].parts"),
        ('start = "t"', 'start = "t"\nseconds = "a minute"', "time.seconds"),
        ('start = "t"', 'start = "t"\nformat = 5', "format"),
        ("[time]", 'delimiter = ";;"\n[time]', "delimiter"),
        ("[time]", "patient = 5\n[time]", "patient"),
    ],
)
def test_a_mapping_of_wrong_types_is_refused_where_it_is_wrong(old: str, new: str, where: str) -> None:
    with pytest.raises(Unusable) as caught:
        table.mapping(MAPPING.replace(old, new).encode())
    assert caught.value.where == where


def _night(*stages: tuple[str, str, int]) -> Any:
    told = [
        {"startTime": f"2026-01-05T{a}:00Z", "endTime": f"2026-01-05T{b}:00Z", "stage": stage} for a, b, stage in stages
    ]
    night = {"type": "SleepSessionRecord", "startTime": "2026-01-05T00:00:00Z", "endTime": "2026-01-05T08:00:00Z"}
    *_, session = health_connect.read(night | {"stages": told}, "phone")
    assert isinstance(session, Sample)
    return session.measure, session.value and session.value.number


def test_time_asleep_counts_once_and_an_unknown_stage_is_not_awake() -> None:
    assert _night(("00:00", "03:00", 4), ("02:00", "04:00", 5)) == ("sleep-session", 4 * 3600)
    assert _night(("00:00", "08:00", 0)) == ("time-in-bed", 8 * 3600)
    assert _night(("00:00", "08:00", 3)) == ("time-in-bed", 8 * 3600)


def test_a_deletion_says_how_it_is_done() -> None:
    (android,) = health_connect.read({"type": "DeletionChange", "recordId": "a"}, "phone")
    for found in (android, healthkit.read({"uuid": "a", "deleted": True}, "phone")):
        assert isinstance(found, Unusable)
        assert found.reason == "deletion"
