"""What Prometheus reads at /metrics: counts and durations by kind of thing, never by patient or id.

Several web processes share their numbers through files in `PROMETHEUS_MULTIPROC_DIR`, which `up` and `serve` set.
"""

from __future__ import annotations

from pathlib import Path

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)

_REQUESTS = Histogram(
    "clarity_request_seconds", "Duration of a request.", ("interaction", "type", "status"), buckets=_SECONDS
)
_JOBS = Histogram("clarity_job_seconds", "Duration of a job.", ("kind", "outcome"), buckets=(*_SECONDS, 120.0, 600.0))
COMMIT_RETRIES = Counter("clarity_commit_retries", "Commits tried again after a conflict.", ("reason",))
DELIVERY_FAILURES = Counter(
    "clarity_delivery_failures", "Notifications that were not delivered.", ("channel", "reason")
)
WAKES_FAILED = Counter(
    "clarity_wakes_failed", "Wake-ups that Redis did not take; polling makes up for them.", ("error",)
)
THROTTLED = Counter("clarity_throttled", "Requests refused by a rate limit.", ("budget",))
COUNTED_ALONE = Counter(
    "clarity_rate_limit_alone",
    "Looks at a rate limit that Redis did not answer: this process counts alone.",
    ("error",),
)
OWN_PARAMETERS_FAILED = Counter(
    "clarity_own_parameters_failed",
    "Resources in which a posted search parameter failed and found nothing.",
    ("reason",),
)
QUEUE_DEPTH = Gauge("clarity_queue_depth", "Jobs that wait.", ("kind",), multiprocess_mode="mostrecent")
PSI = Gauge(
    "clarity_model_psi", "Population stability index of a model's input (or of its probability) against training.",
    ("model", "input"), multiprocess_mode="mostrecent",
)  # fmt: skip
OUTBOX_LAG = Gauge(
    "clarity_outbox_lag_seconds", "Age of the oldest event that a consumer has not read.", ("consumer",),
    multiprocess_mode="mostrecent",
)  # fmt: skip

_request_series: dict[tuple[str, str, int], Histogram] = {}


def observe_request(interaction: str, resource_type: str, status: int, seconds: float) -> None:
    """Count one request; `resource_type` is a type of R4 or empty, so that the series stay few."""
    at = (interaction, resource_type, status)
    series = _request_series.get(at)
    if series is None:
        series = _request_series[at] = _REQUESTS.labels(interaction, resource_type, str(status))
    series.observe(seconds)


def observe_job(kind: str, outcome: str, seconds: float) -> None:
    """Count one job by how it ended: done, failed, lost (its lease ran out)."""
    _JOBS.labels(kind, outcome).observe(seconds)


def render(shared: Path | None = None) -> bytes:
    """Return the text for /metrics: of all processes when they share a folder, else of this one."""
    if shared is None:
        return generate_latest(REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(shared))  # type: ignore[no-untyped-call]
    return generate_latest(registry)


def forget_process(folder: Path, number: int) -> None:
    """Drop the gauges of a process that ended; its counters stay."""
    mark_process_dead(number, path=str(folder))  # type: ignore[no-untyped-call]
