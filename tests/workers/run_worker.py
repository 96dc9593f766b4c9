"""A worker process for tests that kill it: leases are short, and the twin is left to its own tests."""

from __future__ import annotations

import os
import sys
from datetime import timedelta
from pathlib import Path

import uvloop

from fhir_server.kit import logs
from fhir_server.subscriptions import breaker, schedule
from tests.subscriptions import subscribing as given
from workers import process
from workers.jobs import deliver, runner


def main(data: str, database_url: str, redis_url: str) -> None:
    deliver.LEASE = runner.LEASE = timedelta(seconds=1)
    breaker.LONGEST = timedelta(milliseconds=50)
    # Longer than a receiver of the tests is away, on a machine that is busy too.
    schedule.WAITS = (0.05, 0.05, 0.1, 0.1, 0.2, 0.2, 0.5, 0.5, 1.0, 2.0, 5.0, 20.0)
    schedule.ATTEMPTS = len(schedule.WAITS) + 1
    logs.configure("WARNING", process="worker")
    settings = given.settings(Path(data), database_url=database_url, redis_url=redis_url)
    (Path(data) / f"up-{os.getpid()}").touch()  # what takes long on a busy machine is over
    uvloop.run(process.serve(settings, given.WITHOUT_TWIN))


if __name__ == "__main__":
    main(*sys.argv[1:])
