"""near: distances on the globe against a plain great-circle formula, at the poles and the antimeridian too."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest

from fhir_server.errors import BadSearch
from tests.search.conftest import ids, load, page

PLACES = {
    "utrecht": (52.0907, 5.1214), "amsterdam": (52.3676, 4.9041), "paris": (48.8566, 2.3522), "fiji": (-17.7134, 178.065),
    "taveuni": (-16.85, -179.98), "north": (89.9, 0.0), "arctic": (89.9, 179.0), "null": (0.0, 0.0), "south": (-90.0, 45.0),
}  # fmt: skip


def location(id_: str, latitude: float, longitude: float) -> dict[str, Any]:
    position = {"latitude": Decimal(str(latitude)), "longitude": Decimal(str(longitude))}
    return {"resourceType": "Location", "id": id_, "name": id_, "position": position}


@pytest.fixture(scope="session")
async def globe(open_tenant: Any) -> Any:
    tenant = await open_tenant("search_near")
    await load(
        tenant, [*(location(id_, *at) for id_, at in PLACES.items()), {"resourceType": "Location", "id": "nowhere"}]
    )
    return tenant


def kilometres(one: tuple[float, float], other: tuple[float, float]) -> float:
    """The angle between two vectors: another formula than the one in SQL."""

    def vector(at: tuple[float, float]) -> tuple[float, float, float]:
        latitude, longitude = map(math.radians, at)
        return math.cos(latitude) * math.cos(longitude), math.cos(latitude) * math.sin(longitude), math.sin(latitude)

    a, b = vector(one), vector(other)
    cross = (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])
    return 6371.0088 * math.atan2(math.hypot(*cross), sum(x * y for x, y in zip(a, b, strict=True)))


@pytest.mark.parametrize("centre", PLACES)
@pytest.mark.parametrize("distance", [0, 1, 40, 430, 10_000, 30_000])
async def test_distances(globe: Any, centre: str, distance: int) -> None:
    latitude, longitude = PLACES[centre]
    wanted = {id_ for id_, at in PLACES.items() if kilometres(PLACES[centre], at) <= distance + 1e-6}
    assert set(await ids(globe, "Location", f"near={latitude}|{longitude}|{distance}|km")) == wanted


async def test_units_and_what_holds_when_nothing_is_said(globe: Any) -> None:
    here = "near=52.0907|5.1214"
    assert set(await ids(globe, "Location", here)) == {"utrecht", "amsterdam"}
    assert set(await ids(globe, "Location", f"{here}|30")) == {"utrecht"}
    assert set(await ids(globe, "Location", f"{here}|30|[mi_i]")) == {"utrecht", "amsterdam"}
    assert set(await ids(globe, "Location", f"{here}|30000|m")) == {"utrecht"}
    assert set(await ids(globe, "Location", f"{here}|1,0|0|1")) == {"utrecht", "null"}
    assert set(await ids(globe, "Location", "near:missing=true")) == {"nowhere"}
    assert set(await ids(globe, "Location", f"{here}&name=u")) == {"utrecht"}


@pytest.mark.parametrize(
    "text", ["52", "52|", "91|0", "0|181", "a|b", "1|2|-3", "1|2|3|kg", "1|2|3|km|x", "1|2|x", "|", "1e999|2", "nan|0"]
)
async def test_what_is_no_place_is_refused(globe: Any, text: str) -> None:
    with pytest.raises(BadSearch) as refused:
        await page(globe, "Location", f"near={text}")
    assert refused.value.id == "search-value"


async def test_nothing_is_sorted_by_it(globe: Any) -> None:
    with pytest.raises(BadSearch):
        await page(globe, "Location", "_sort=near")
