"""The schedule of retries."""

from __future__ import annotations

from datetime import timedelta

from fhir_server.subscriptions.schedule import ATTEMPTS, WAITS, wait_after


def test_ten_attempts_over_three_days() -> None:
    assert ATTEMPTS == 10
    for attempts, wait in enumerate(WAITS, 1):
        for _ in range(20):
            assert timedelta(seconds=wait) <= wait_after(attempts) <= timedelta(seconds=wait * 1.2)
    assert wait_after(10) is None
    assert timedelta(hours=75) < timedelta(seconds=sum(WAITS)) < timedelta(hours=77)


def test_the_receiver_may_ask_for_more_but_not_for_ever() -> None:
    assert wait_after(1, 60) == timedelta(seconds=60)
    assert wait_after(1, 1) >= timedelta(seconds=5)
    assert wait_after(1, 1e9) == timedelta(days=1)
    assert wait_after(10, 60) is None
