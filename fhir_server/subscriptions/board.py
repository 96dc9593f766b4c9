"""All that is to be asked of a change, filed under what a change must hold to be of interest: a thousand Subscriptions with other
patients or codes cost nothing.

Each order is filed under the rarest index key that its filter demands (`predicates.Keys`), or the key of a code or system in the
dictionary of codings (`Coded`); what demands none is asked of every change of its type.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import TypeAlias
from weakref import WeakKeyDictionary

from fhir_server.kit import clock, json, logs
from fhir_server.search.predicates import All, AnyOf, Coded, Keys, Predicate
from fhir_server.storage import codings, ident, reads
from fhir_server.storage.index_keys import MOST_RID
from fhir_server.storage.outage import passing
from fhir_server.storage.reads import Kept
from fhir_server.storage.tenants import Tenant
from fhir_server.subscriptions import criteria, standing, state
from fhir_server.subscriptions.orders import Asked, Change, Order
from fhir_server.subscriptions.refusal import Refusal
from fhir_server.subscriptions.state import Watch
from fhir_server.subscriptions.topics import store, wants
from fhir_server.subscriptions.topics.topic import Topic

_LOG = logs.logger("clarity.subscriptions")
_MOST_REMEMBERED = 100_000
Anchor: TypeAlias = tuple[str, int, bool]
"""Type, key, and whether it is the key of a code or of a system, under which the dictionary has others."""


class Board:
    """The orders of one tenant at one revision."""

    def __init__(self, revision: int, orders: Sequence[Order]) -> None:
        self.revision, self.orders = revision, orders
        self.types = {order.type for order in orders}
        self.topical = {order.type for order in orders if order.trigger is not None}
        self._filed: dict[Anchor, list[Order]] = {}
        self._loose: dict[str, list[Order]] = {}
        self._coded = False
        self._unknown: set[tuple[str, str]] = set()
        self._met: set[int] = set()

    async def file(self, tenant: Tenant) -> None:
        """File every order; again whenever something that one refers to has become known."""
        searches = [search for order in self.orders for search in order.searches(tenant)]
        await standing.look_up(tenant, searches)
        self._unknown = {name for search in searches for name in search.refers - search.known(tenant).keys()}
        found = {order: _anchors(tenant, order) for order in self.orders}
        often = Counter(anchor for choices in found.values() for anchors in choices for anchor in anchors)
        filed, loose = defaultdict(list), defaultdict(list)
        for order, choices in found.items():
            best = min(choices, key=lambda anchors: sum(often[anchor] for anchor in anchors), default=None)
            if best is None:
                loose[order.type].append(order)
            for anchor in best or ():
                filed[anchor].append(order)
        self._filed, self._loose = dict(filed), dict(loose)
        self._coded = any(coded for _, _, coded in filed)

    async def learn(self, tenant: Tenant, changes: Sequence[Change]) -> None:
        """File anew when something that an order refers to was first mentioned.

        It matters to a change only when one of its versions refers to it, so only what these refer to is looked at, once each.
        """
        if not self._unknown:
            return
        versions = [version for change in changes for version in (change.now, change.before) if version is not None]
        met = {key & MOST_RID for version in versions for key in version.keys if key > 0} - self._met
        if not met:
            return
        known = {name: rid for rid, name in (await ident.names(tenant, met)).items() if name in self._unknown}
        self._met |= met
        if known:
            tenant.remember(known.items())
            await self.file(tenant)

    async def concerned(self, tenant: Tenant, changes: Sequence[Change]) -> dict[Order, list[Change]]:
        """Return who may want to hear of which of the changes."""
        await self.learn(tenant, changes)
        keys = {key for change in changes for key in change.subject.keys}
        behind = await codings.behind(tenant, keys) if self._coded else {}
        now, found = clock.now(), defaultdict(list)
        for change in changes:
            type_, held = change.event.type, change.subject.keys
            places: list[Anchor] = [(type_, key, False) for key in held]
            places += [(type_, at, True) for key in held for at in behind.get(key, ())]
            orders = [order for place in places for order in self._filed.get(place, ())]
            for order in dict.fromkeys((*orders, *self._loose.get(type_, ()))):
                if order.watch.ends_at is None or order.watch.ends_at > now:
                    found[order].append(change)
        return found


_boards: WeakKeyDictionary[Tenant, Board] = WeakKeyDictionary()
_known: WeakKeyDictionary[Tenant, dict[tuple[int, int, tuple[int, int]], list[Order]]] = WeakKeyDictionary()


def types(tenant: Tenant) -> Collection[str]:
    """Return the types that somebody asked for when this process last looked: what is worth reading at once."""
    known = _boards.get(tenant)
    return known.types if known is not None else ()


async def board(tenant: Tenant, seen: int | None = None) -> Board:
    """Return the orders as they are now, or were at least at the revision `seen`; made anew only when somebody has subscribed,
    changed or ended one.
    """
    known = _boards.get(tenant)
    if known is None or known.revision < (await state.revision(tenant) if seen is None else seen):
        revision, watches = await state.watches(tenant)
        known = Board(revision, [order for orders in await _orders(tenant, watches) for order in orders])
        await known.file(tenant)
        _boards[tenant] = known
    return known


async def readable(tenant: Tenant) -> tuple[Board, list[Watch]]:
    """Return the orders as far as they can be read and asked, and whose cannot; made anew, and not remembered."""
    revision, watches = await state.watches(tenant)
    broken: list[Watch] = []
    for watch in watches:
        try:
            for orders in await _orders(tenant, [watch]):
                _try(tenant, orders)
        except Exception as error:
            if passing(error):
                raise
            _LOG.error("subscription cannot be read", tenant=tenant.name, exc_info=True)
            broken.append(watch)
    sound = [watch for watch in watches if watch not in broken]
    made = Board(revision, [order for orders in await _orders(tenant, sound) for order in orders])
    await made.file(tenant)
    return made, broken


def _try(tenant: Tenant, orders: Sequence[Order]) -> None:
    """Raise what is wrong with the searches of some orders."""
    for order in orders:
        for search in order.searches(tenant):
            search.settle(tenant)
        _anchors(tenant, order)


async def _orders(tenant: Tenant, watches: Sequence[Watch]) -> Iterable[list[Order]]:
    """Return the orders of each watch; read once for each version of Subscription and topic."""
    known = _known.setdefault(tenant, {})
    new = {(each.rid, each.version, each.topic_at): each for each in watches}
    missing = {at: each for at, each in new.items() if at not in known}
    kept = await reads.exact(tenant, [(rid, version) for rid, version, _ in missing])
    topics = await reads.exact(tenant, sorted({at for _, _, at in missing if at[0]}))
    if len(known) > _MOST_REMEMBERED:
        known.clear()
        return await _orders(tenant, watches)
    for at, watch in missing.items():
        known[at] = await _read(tenant, watch, kept.get(at[:2]), topics.get(watch.topic_at))
    for at, watch in new.items():
        for order in known[at]:
            order.watch = watch
    return [known[at] for at in new]


async def _read(tenant: Tenant, watch: Watch, kept: Kept | None, held: Kept | None) -> list[Order]:
    """Return the orders of one Subscription; none when it cannot be read any more."""
    if kept is None:
        return []
    resource = json.decode_trusted(kept.stored.body)
    try:
        if watch.topic is None:
            wanted = criteria.parse(tenant, resource)
            return [Order(watch, wanted.type, Asked(wanted.type, wanted.params))]
        topic = store.of(tenant, held.stored) if held is not None else await store.find(tenant, watch.topic)
        return _of_topic(tenant, watch, resource, topic) if topic is not None else []
    except Refusal as refusal:
        _LOG.error("criteria no longer understood", tenant=tenant.name, reason=refusal.reason)
        return []


def _of_topic(tenant: Tenant, watch: Watch, resource: dict[str, object], topic: Topic) -> list[Order]:
    filters = wants.filters(resource, topic, tenant.base)
    return [
        Order(watch, trigger.type, Asked(trigger.type, filters[trigger.type]), trigger) for trigger in topic.triggers
    ]


def _anchors(tenant: Tenant, order: Order) -> list[list[Anchor]]:
    """Return the sets of keys of each of which a change must hold one."""
    found: list[list[Anchor]] = []
    # What a topic demands of the new version says nothing of the last one before a deletion.
    deletes = order.trigger is not None and "delete" in order.trigger.interactions
    for asked in [order.filter] if deletes else order.must:
        found += _demanded(order.type, asked.standing(tenant).meant.predicate)
    return found


def _demanded(type_: str, part: Predicate) -> list[list[Anchor]]:
    match part:
        case Keys():
            return [[(type_, key, False) for key in part.any_of]]
        case Coded():
            return [[(type_, part.at, True)]]
        case All():
            return [anchors for inner in part.parts for anchors in _demanded(type_, inner)]
        case AnyOf():
            inner = [min(_demanded(type_, each), key=len, default=None) for each in part.parts]
            return [] if None in inner else [[anchor for anchors in inner for anchor in anchors or ()]]
        case _:
            return []
