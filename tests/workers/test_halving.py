"""Whichever events fail, `careful` finds exactly those, and does all else once and in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fhir_server.storage.outbox import Event
from workers.jobs import careful


class _Savepoints:
    """Stands for a connection: what is done between a savepoint and its release counts, unless it is rolled back."""

    def __init__(self) -> None:
        self.done: list[int] = []

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        before = list(self.done)
        try:
            yield
        except BaseException:
            self.done = before
            raise


@given(st.integers(0, 60).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, max(n - 1, 0))))))
def test_whatever_fails_all_else_is_done_once_and_in_order(case: tuple[int, set[int]]) -> None:
    count, bad = case
    events = [Event(n, n, "Observation", str(n), 1, 1, 0, ()) for n in range(count)]
    connection: Any = _Savepoints()

    async def consequence(on: Any, _tenant: Any, some: Sequence[Event], _settings: Any) -> None:
        for event in some:
            on.done.append(event.id)
            if event.id in bad:
                raise ArithmeticError

    tenant: Any = type("Named", (), {"name": "default"})()
    settings: Any = None
    found = asyncio.run(careful.act(connection, tenant, events, settings, {"twins": consequence}))
    assert connection.done == [n for n in range(count) if n not in bad]
    assert [each.event.id for each in found.failed] == [n for n in range(count) if n in bad]
