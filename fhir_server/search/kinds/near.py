"""Near: `latitude|longitude[|distance[|units]]` on the globe of WGS84 (R4 location.html#near).

A position is one row of numbers, the latitude as `lo` and the longitude as `hi`. The index finds the belt between two latitudes,
the great-circle distance (haversine on the mean radius) decides. Without units a distance is in km; without a distance it is 50 km.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal

from fhir_server.search.escape import split, unescape
from fhir_server.search.kinds.entries import Entries, Pairs
from fhir_server.search.kinds.number import decimal, parse_decimal
from fhir_server.search.parameters import Source
from fhir_server.search.predicates import Predicate, Rows
from terminology import ucum

DEFAULT_KM = Decimal(50)
RADIUS = 6_371_008.8
"""The mean radius of the earth in metres."""
_POLE, _ANTIMERIDIAN = 90, 180

_HALF_CHORD = (
    "power(sin(radians(lo::float8 - {}::float8) / 2), 2)"
    " + cos(radians(lo::float8)) * cos(radians({}::float8)) * power(sin(radians(hi::float8 - {}::float8) / 2), 2)"
)
"""The square of half the chord between two points of a globe of radius 1."""


@dataclass(frozen=True, slots=True)
class Near:
    """A place, and how far from it in metres."""

    latitude: Decimal
    longitude: Decimal
    metres: float


def parse(text: str) -> Near:
    """Read a place and a distance; ValueError says what is wrong."""
    parts = [unescape(part) for part in split(text, "|")]
    if not 2 <= len(parts) <= 4:
        raise ValueError("is [latitude]|[longitude]|[distance]|[units], the last two as needed")
    latitude, longitude = parse_decimal(parts[0]), parse_decimal(parts[1])
    if abs(latitude) > _POLE or abs(longitude) > _ANTIMERIDIAN:
        raise ValueError("begins with a latitude of -90 to 90 and a longitude of -180 to 180 degrees")
    distance = parse_decimal(parts[2]) if len(parts) > 2 and parts[2] else DEFAULT_KM
    metres = ucum.convert(distance, parts[3] if len(parts) == 4 and parts[3] else "km", "m")
    if metres is None:
        raise ValueError("has a distance in a unit of length by its UCUM code, such as km, m or [mi_i]")
    if metres < 0:
        raise ValueError("has a distance that is not negative")
    return Near(latitude, longitude, float(metres))


# ---- rows ----


def rows(entries: Entries, param: int, pairs: Pairs) -> None:
    """Add the entries of what was found."""
    for _, value in pairs:
        if "latitude" in value and "longitude" in value:
            latitude, longitude = decimal(value["latitude"]), decimal(value["longitude"])
            if abs(latitude) <= _POLE:
                entries.numbers.append((param, 0, latitude, longitude, 0, 0, None, None))


def accepts(value: Near, pairs: Pairs) -> bool:
    """Tell whether a position found in a resource is no farther."""
    places = (
        (float(at["latitude"]), float(at["longitude"])) for _, at in pairs if {"latitude", "longitude"} <= at.keys()
    )
    return any(_metres(float(value.latitude), float(value.longitude), *place) <= value.metres for place in places)


def _metres(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Return the great-circle distance between two places in degrees."""
    here, there = math.radians(latitude), math.radians(other_latitude)
    east = math.sin(math.radians(other_longitude - longitude) / 2) ** 2
    square = math.sin((there - here) / 2) ** 2 + math.cos(here) * math.cos(there) * east
    return 2 * RADIUS * math.asin(min(1.0, math.sqrt(square)))


# ---- predicate ----


def predicate(value: Near, source: Source) -> Predicate:
    """Return the condition that a position of the resource is no farther."""
    angle = value.metres / RADIUS
    belt = Decimal(math.degrees(min(angle, math.pi))) + Decimal("0.000001")
    half_chord = math.sin(min(angle, math.pi) / 2) ** 2
    latitude, longitude = float(value.latitude), float(value.longitude)
    return Rows(
        "ix_number",
        f"param = {source.id} AND key = 0 AND lo >= {{}} AND lo <= {{}} AND {_HALF_CHORD} <= {{}}::float8",
        (value.latitude - belt, value.latitude + belt, latitude, latitude, longitude, half_chord),
    )
