"""The SQL of an update or deletion: one statement, whatever it has to write.

Everything is hung on `old`, the row locked at the expected version, so that nothing at all is written when somebody else was
there first. Which sections a statement has depends on what there is to write; each
combination is made once, so that PostgreSQL sees few texts and keeps them prepared.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

AUDIT_COLUMNS = "recorded, interaction, status, agent, type, rid, version, patients, request, address, detail"

_RESOURCE = (
    "rid, last_updated, type, method, version, key_id, index_version, deleted, fhir_id, patients, keys, unsought, body"
)
_BASE_ARGS = 15

COUNTED = "LATERAL (SELECT c.key FROM {{s}}.coding c WHERE c.key = ANY ({}) UNION ALL SELECT 0) k"
"""What is counted of a row: its keys in the dictionary of codings, and 0, the whole type."""

# name -> (number of arguments, SQL); `r` is the row as it was just written, {0}.. are the arguments.
_SECTIONS: dict[str, tuple[int, str]] = {
    "dates": (3, "INSERT INTO {s}.ix_date (rid, param, lo, hi) SELECT r.rid, u.* FROM r, unnest({0}::smallint[], {1}::timestamptz[], {2}::timestamptz[]) u"),
    "numbers": (8, "INSERT INTO {s}.ix_number (rid, param, key, lo, hi, unit, cunit, clo, chi) SELECT r.rid, u.* FROM r, unnest({0}::smallint[], {1}::bigint[], {2}::numeric[], {3}::numeric[], {4}::bigint[], {5}::bigint[], {6}::numeric[], {7}::numeric[]) u"),
    "strings": (2, "INSERT INTO {s}.ix_string (rid, param, value) SELECT r.rid, u.* FROM r, unnest({0}::smallint[], {1}::text[]) u"),
    "series": (4, "INSERT INTO {s}.series (rid, patient, code, at, last_updated) SELECT r.rid, u.* FROM r, unnest({0}::bigint[], {1}::bigint[], {2}::timestamptz[], {3}::timestamptz[]) u"),
    "claims": (1, "INSERT INTO {s}.claim (rid, key) SELECT r.rid, u.* FROM r, unnest({0}::bytea[]) u"),
    "old_dates": (2, "DELETE FROM {s}.ix_date d USING r, unnest({0}::smallint[], {1}::timestamptz[]) u(param, lo) WHERE d.rid = r.rid AND d.param = u.param AND d.lo = u.lo"),
    "old_numbers": (3, "DELETE FROM {s}.ix_number d USING r, unnest({0}::smallint[], {1}::bigint[], {2}::numeric[]) u(param, key, lo) WHERE d.rid = r.rid AND d.param = u.param AND d.key = u.key AND d.lo = u.lo"),
    "old_strings": (2, "DELETE FROM {s}.ix_string d USING r, unnest({0}::smallint[], {1}::text[]) u(param, value) WHERE d.rid = r.rid AND d.param = u.param AND d.value = u.value"),
    "old_series": (3, "DELETE FROM {s}.series d USING r, unnest({0}::bigint[], {1}::bigint[], {2}::timestamptz[]) u(patient, code, at) WHERE d.rid = r.rid AND d.patient = u.patient AND d.code = u.code AND d.at = u.at"),
    "old_claims": (0, "DELETE FROM {s}.claim d USING r WHERE d.rid = r.rid"),
    "tally": (0, "INSERT INTO {s}.tally_new (type, key, n) SELECT type, key, sum(n) FROM (SELECT o.type, k.key, -1 AS n FROM old o, " + COUNTED.format("o.keys") + " WHERE o.version > 0 AND NOT o.deleted UNION ALL SELECT $3::smallint, k.key, 1 FROM r, " + COUNTED.format("r.keys") + " WHERE NOT $8::bool) t GROUP BY type, key HAVING sum(n) <> 0"),
    "outbox": (1, "INSERT INTO {s}.outbox (rid, at, version, type, method, origin, patients) SELECT r.rid, $2, $5::int, $3::smallint, $4::smallint, {0}::smallint, r.patients FROM r"),
    "audit": (8, "INSERT INTO {s}.audit (" + AUDIT_COLUMNS + ") SELECT {0}::timestamptz, {1}::smallint, {2}::smallint, {3}::int, {4}::smallint, r.rid, $5::int, r.patients, {5}::text, {6}::text, {7}::bytea FROM r"),
}  # fmt: skip

_HEAD = """old AS (
  SELECT * FROM {s}.resource
  WHERE rid = $1 AND version = $5::int - 1 AND ($14::smallint IS NULL OR index_version = $14)
    AND ($15::xid IS NULL OR xmin = $15) FOR UPDATE),
h AS (
  INSERT INTO {s}.history (rid, last_updated, type, method, version, key_id, index_version, deleted, patients, keys, body)
  SELECT rid, last_updated, type, method, version, key_id, index_version, deleted, patients, keys, body FROM old WHERE version > 0),
r AS (
  UPDATE {s}.resource n SET last_updated = $2, type = $3, method = $4, version = $5, key_id = $6, index_version = $7, deleted = $8,
    fhir_id = $9, patients = CASE WHEN $8 THEN old.patients ELSE $10::bigint[] END,
    keys = CASE WHEN $8 THEN old.keys ELSE $11::bigint[] END, unsought = CASE WHEN $8 THEN old.unsought ELSE $12 END, body = $13
  FROM old WHERE n.rid = old.rid RETURNING n.rid, n.patients, n.keys)"""


@cache
def replace(sections: tuple[str, ...]) -> str:
    """Return the statement with these sections; its arguments are the resource row, the index version seen, then the sections'."""
    parts = [_HEAD]
    first = _BASE_ARGS + 1
    for name in sections:
        count, text = _SECTIONS[name]
        parts.append(f"{name}_ AS ({text.format(*(f'${first + i}' for i in range(count)), s='{s}')})")
        first += count
    return "WITH " + ",\n".join(parts) + "\nSELECT rid, patients FROM r"


LOCK = "SELECT rid, version, index_version, deleted, patients, keys, unsought, xmin FROM {s}.resource WHERE rid = ANY($1::bigint[]) ORDER BY rid FOR UPDATE"

KEEP_HISTORY = """
INSERT INTO {s}.history (rid, last_updated, type, method, version, key_id, index_version, deleted, patients, keys, body)
SELECT rid, last_updated, type, method, version, key_id, index_version, deleted, patients, keys, body
FROM {s}.resource WHERE rid = ANY($1::bigint[]) AND version > 0
"""

REPLACE = """
UPDATE {s}.resource SET last_updated = $2, type = $3, method = $4, version = $5, key_id = $6, index_version = $7, deleted = $8,
  fhir_id = $9, patients = $10, keys = $11, unsought = $12, body = $13
WHERE rid = $1
"""

# table, columns that find a row again beside rid, their array types
NARROW: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "dates": ("ix_date", (("param", "smallint"), ("lo", "timestamptz"))),
    "numbers": ("ix_number", (("param", "smallint"), ("key", "bigint"), ("lo", "numeric"))),
    "strings": ("ix_string", (("param", "smallint"), ("value", "text"))),
    "series": ("series", (("patient", "bigint"), ("code", "bigint"), ("at", "timestamptz"))),
}

COPY_COLUMNS: dict[str, tuple[str, ...]] = {
    "resource": tuple(_RESOURCE.split(", ")),
    "ix_date": ("rid", "param", "lo", "hi"),
    "ix_number": ("rid", "param", "key", "lo", "hi", "unit", "cunit", "clo", "chi"),
    "ix_string": ("rid", "param", "value"),
    "series": ("rid", "patient", "code", "at", "last_updated"),
    "tally_new": ("type", "key", "n"),
    "claim": ("rid", "key"),
    "outbox": ("rid", "at", "version", "type", "method", "origin", "patients"),
    "audit": tuple(AUDIT_COLUMNS.split(", ")),
}


@cache
def delete_narrow(kind: str) -> str:
    """Return the DELETE of index rows given as arrays: rid first, then what finds each row."""
    table, columns = NARROW[kind]
    arrays = ", ".join(["$1::bigint[]", *(f"${i}::{type_}[]" for i, (_, type_) in enumerate(columns, 2))])
    names = ", ".join(["rid", *(name for name, _ in columns)])
    same = " AND ".join(f"d.{name} = u.{name}" for name in ["rid", *(name for name, _ in columns)])
    return f"DELETE FROM {{s}}.{table} d USING unnest({arrays}) u({names}) WHERE {same}"


@cache
def delete_all(kind: str) -> str:
    """Return the DELETE of every index row of the resources $1: slow (no index leads there), for rows of an older extraction."""
    return f"DELETE FROM {{s}}.{NARROW[kind][0]} WHERE rid = ANY($1::bigint[])"


def array(numbers: Iterable[int]) -> str:
    """Return numbers as the text of an array: where each row has one of its own, an array of arrays would have to be rectangular."""
    return "{" + ",".join(map(str, numbers)) + "}"
