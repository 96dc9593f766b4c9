"""Which of a row's keys stand in the index, and under what.

`resource.keys` holds every key of a row: policy, counts and all that is asked of a row that is there already look at it. The first
`unsought` of them are not in the index, for something else there leads to them:

| not in the index | found by |
|---|---|
| *facets*: tokens that sort resources into few groups (`FACETS`; the system of an identifier) | the key of their set, a *blend* |
| the compartment of a patient | the references that put the row there |
| references of a long list (`LONG`) | one key for each block of 64 rids, which are allotted in runs |

The table `facet` says which blends hold a facet, or a code or a system of it. Like the dictionary of codings it is written,
durably, before the first resource that needs it, and never shrinks. What stands in more than `MOST` blends is asked of each row:
it is met soon.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from fhir_server.storage import codings, ident
from fhir_server.storage.commands import IndexRows
from fhir_server.storage.index_keys import COMPARTMENT, PARAM_SHIFT, block, hashed, pack
from fhir_server.storage.tenants import Tenant
from profiles.registry import R4

_FACETS = frozenset(
    {
        "_profile", "active", "actuality", "address-use", "category", "class", "clinical-status", "content-mode", "contenttype",
        "criticality", "derivation", "experimental", "format", "gender", "intent", "kind", "language", "lifecycle-status", "mode",
        "outcome", "part-status", "participant-type", "priority", "severity", "status", "use", "verification-status",
    }
)  # fmt: skip
_LONG = frozenset(
    {
        ("Composition", "entry"), ("DiagnosticReport", "result"), ("DocumentManifest", "item"), ("Group", "member"),
        ("List", "item"), ("MeasureReport", "evaluated-resource"), ("Observation", "derived-from"),
        ("Observation", "has-member"), ("Provenance", "target"),
    }
)  # fmt: skip
_PARAMS = [param for type_ in R4.types for param in R4.params(type_).values()]

FACETS = frozenset(p.id for p in _PARAMS if p.name in _FACETS and p.kind in ("token", "uri"))
"""Parameters whose values sort resources into few groups."""
LONG = frozenset(p.id for p in _PARAMS if (p.base, p.name) in _LONG)
"""Parameters by which one resource may refer to thousands."""
_LONG_FROM = 4
"""So many references of one parameter go by blocks."""

MOST = 500
"""Keys of codings, and blends, that a search names; what has more is asked of each row."""
_REMEMBERED = 100_000

SOUGHT = "{r}.keys[{r}.unsought + 1:]"
"""What the index holds of a row, written as the index is; `{r}` is the alias."""

_INSERT = """
INSERT INTO {s}.facet (key, blend)
SELECT DISTINCT k.key, u.blend FROM unnest($1::bigint[], $2::bigint[]) u(key, blend)
  LEFT JOIN {s}.coding c ON c.key = u.key
  CROSS JOIN LATERAL (VALUES (u.key), (c.by_code), (c.by_system)) k(key)
WHERE k.key <> 0 ORDER BY 1, 2
ON CONFLICT (key, blend) DO NOTHING
"""
_LOOK_UP = f"""
SELECT w.at, c.key, false AS blended FROM unnest($1::bigint[]) w(at) CROSS JOIN LATERAL ({codings.UNDER}) c
UNION ALL
SELECT w.at, f.blend, true FROM unnest($3::bigint[]) w(at) CROSS JOIN LATERAL (
  SELECT blend FROM {{s}}.facet WHERE key = w.at LIMIT $2) f
"""


@dataclass(frozen=True, slots=True)
class Known:
    """What a search has asked for: the keys under that of a code or a system, and the blends that hold a facet."""

    codings: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    blends: Mapping[int, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Laid:
    """The keys of a row as they are stored, how many of the first are not in the index, and its patients."""

    patients: list[int]
    keys: list[int]
    unsought: int


def laid_out(tenant: Tenant, index: IndexRows, rids: Mapping[ident.Name, int], beside: Iterable[int] = ()) -> Laid:
    """Return the keys of a resource, ids turned into rids; `beside` are patients of what it is told of (`traced.py`)."""
    patients = list(dict.fromkeys([*(rids[("Patient", id_)] for id_ in index.patients), *beside]))
    facets = sorted(set(index.facets))
    told = set(patients) if index.traces else {rids[("Patient", id_)] for id_ in index.untold}
    unsought = {*facets, *(pack(COMPARTMENT, rid) for rid in patients if rid not in told)}
    sought = set(index.keys).difference(facets)
    sought.update(pack(COMPARTMENT, rid) for rid in told)
    long: dict[int, set[int]] = {}
    for param, type_, id_ in index.references:
        key = pack(param, rids[(type_, id_)])
        (long.setdefault(param, set()) if param in LONG else sought).add(key)
    for keys in long.values():
        if len(keys) < _LONG_FROM:
            sought |= keys
        else:
            unsought |= keys
            sought.update(map(block, keys))
    if facets:
        sought.add(blend(tenant, facets))
    return Laid(patients, [*sorted(unsought), *sorted(sought)], len(unsought))


def amended(tenant: Tenant, laid: Laid, old: IndexRows, new: IndexRows) -> Laid:
    """Return the keys of a row whose entries change from `old` to `new` by hashed keys only."""
    keys, unsought = laid.keys, laid.unsought
    before, after = set(old.keys), set(new.keys)
    gone = (before - after) | ({blend(tenant, old.facets)} if old.facets else set())
    hidden = [*(key for key in keys[:unsought] if key not in gone), *sorted(set(new.facets) - before)]
    found = {key for key in keys[unsought:] if key not in gone} | (after - before - set(new.facets))
    found |= {blend(tenant, new.facets)} if new.facets else set()
    return Laid(laid.patients, [*hidden, *sorted(found)], len(hidden))


def alternatives(key: int) -> tuple[int, ...]:
    """Return what the index may hold a key under that is no facet and no compartment."""
    return (key, block(key)) if key >= 0 and key >> PARAM_SHIFT in LONG else (key,)


def blend(tenant: Tenant, facets: Iterable[int]) -> int:
    """Return the key of a set of facets."""
    return hashed(tenant.keystore.index_secret, 0, ("blend", *map(str, sorted(set(facets)))))


async def remember(tenant: Tenant, indexes: Iterable[IndexRows]) -> None:
    """Make sure, durably, that the blends of resources can be found; their codings stand in the dictionary already."""
    sets = {tuple(sorted(set(index.facets))) for index in indexes if index.facets} - tenant.blends
    if not sets:
        return
    pairs = sorted({(key, made) for facets in sets for made in (blend(tenant, facets),) for key in facets})
    await tenant.pool.execute(tenant.sql(_INSERT), [key for key, _ in pairs], [made for _, made in pairs])
    if len(tenant.blends) > _REMEMBERED:
        tenant.blends.clear()
    tenant.blends |= sets


async def look_up(tenant: Tenant, coded: Collection[int], facets: Collection[int]) -> Known:
    """Return the keys under those of codes and systems, and the blends that hold facets; what has more than MOST is left out."""
    if not coded and not facets:
        return Known()
    found: tuple[dict[int, list[int]], ...] = ({at: [] for at in coded}, {at: [] for at in facets})
    for row in await tenant.pool.fetch(tenant.sql(_LOOK_UP), list(coded), MOST + 1, list(facets)):
        found[row["blended"]][row["at"]].append(row["key"])
    few = [{at: tuple(keys) for at, keys in each.items() if len(keys) <= MOST} for each in found]
    return Known(*few)
