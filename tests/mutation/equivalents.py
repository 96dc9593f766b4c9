"""Faults that change nothing that anybody could see, each with the reason; named as `python -m tests.mutation` prints them."""

from __future__ import annotations

from typing import Final

_WAY: Final = "the same rows by another way through PostgreSQL"
_AGAIN: Final = "the same answer, asked of the database once more"
_MOMENT: Final = "a moment that no clock tells apart"
_DEAD: Final = "stands for what was never worked out, and is not returned"
_NAMES: Final = "only a Patient names a general practitioner"
_CARED: Final = "await care.of(ctx.tenant, principal.user)"
_OTHERS: Final = "not await belongs(ctx, level, type_, index, resource_id)"

EQUIVALENT: Final[dict[str, str]] = {
    "visibility._group_sql: `_SINGLE if one else FEW` → `_SINGLE`": _WAY,
    "visibility._group_sql: `max(group) < pack(COMPARTMENT + 1, 0)` → `max(group) <= pack(COMPARTMENT + 1, 0)`": "no row has rid 0",
    "visibility._group_sql (2): `0` → `1`": _WAY,
    "visibility._group_sql: `if one` → `if True`": _WAY,
    "visibility._reached_sql: `not wanted or len(wanted) > _PROBES` → `not wanted`": _WAY,
    "visibility._union: `not left or not right` → `not left and (not right)`": "the same keys, written as values of the statement",
    "known._look: `rules is not None and (not rules.understood)` → `rules is not None`": "a line of the log",
    "known._of_one: `NOTHING` → `EVERYTHING`": _DEAD,
    "glass.patients: `if clock.monotonic() >= until` → `if True`": _AGAIN,
    "glass.patients: `clock.monotonic() >= until` → `clock.monotonic() > until`": _MOMENT,
    "glass.patients: `if len(known) >= _REMEMBERED` → `if True`": _AGAIN,
    "glass.patients: `if len(known) >= _REMEMBERED` → `if False`": "what is remembered of the ten-thousandth principal",
    "callers.asker: `found is None or clock.monotonic() >= until` → `clock.monotonic() >= until`": "nobody known is until 0",
    "visibility._array: `if len(keys) > _SINGLE` → `if True`": "the same keys, written as one value of the statement",
    "visibility._group_sql: `if one and compartments` → `if False`": _WAY,
    "visibility._group_sql: `if one` → `if False`": _WAY,
    "visibility.both: `if left == EVERYTHING` → `if False`": "the product with everything is the other, made anew",
    "visibility.both: `if right == EVERYTHING` → `if False`": "the product with everything is the other, made anew",
    "visibility.visible_sql: `if found is None` → `if True`": "the same text, made anew",
    "visibility.visible_types_sql: `if visibility` → `if True`": "of a type that is not seen no row is, said of it once more",
    "visibility.both: `if found is None` → `if True`": "the same product, made anew",
    "layout.alternatives: `(key, block(key)) if key >= 0 and key >> PARAM_SHIFT in LONG else (key,)` → `(key, block(key))`": _WAY,
    "layout.alternatives: `key >= 0 and key >> PARAM_SHIFT in LONG` → `key >> PARAM_SHIFT in LONG`": "no parameter is negative",
    "known._is_fresh: `clock.monotonic() < found.until` → `clock.monotonic() <= found.until`": _MOMENT,
    "known._look: `if rules is not None and (not rules.understood)` → `if False`": "a line of the log",
    "known._combined: `sight != EVERYTHING and keys` → `sight != EVERYTHING`": "what is kept from the records of nobody",
    "policy.visibility: `asked < remembered[0]` → `asked <= remembered[0]`": _MOMENT,
    "granted._of_level (2): `NOTHING` → `EVERYTHING`": _DEAD,
    "granted._of_level: `if serial != cared.serial` → `if True`": _AGAIN,
    "granted._of_level: `if all((filters.lasting(scope, type_) for scope in scopes))` → `if False`": _AGAIN,
    "traced.sight: `if groups.keys() == {EVERYTHING}` → `if False`": "who sees all of every type is a service, told of all",
    "visibility._group_sql: `0` → `1`": _WAY,
    "visibility._through_sql: `0` → `1`": "no row has rid 0",
    "known._look: `max` → `min`": "the same Consents, looked for from the beginning",
    "granted._of_level: `if not scopes` → `if False`": "what no scopes give is nothing, worked out",
    f"belonging.belongs: `{_CARED} if has_care(ctx) else care.NOBODY` → `{_CARED}`": _AGAIN,
    "belonging.belongs: `rid is None or not cared.sees(rid)` → `not cared.sees(rid)`": "who is not known is in nobody's care",
    "belonging.belongs: `type_ == 'Patient' and strangers == {resource_id}` → `strangers == {resource_id}`": _NAMES,
    "policy._stamp (3): `0` → `1`": "a number that is compared with itself",
    "policy._stays: `if type_ == traced.TYPE` → `if True`": _AGAIN,
    "policy.check_write: `level == 'user' and type_ in care.RELATIONS` → `level == 'user'`": _AGAIN,
    "policy._writes: `EVERYTHING if Grant() in grants else tuple(grants)` → `tuple(grants)`": "all, and part of it, is all",
    "visibility._union: `if not left or not right` → `if False`": "the same keys, written as values of the statement",
    "known.Alike.keys: `if found is None` → `if True`": "the same keys, gathered anew",
    "known.limit: `if version == found.version` → `if False`": _AGAIN,
    "known._of_one: `clock.monotonic() >= until` → `clock.monotonic() > until`": _MOMENT,
    f"policy._writes: `not scopes or {_OTHERS}` → `{_OTHERS}`": "what no scopes give is nothing, worked out",
}
