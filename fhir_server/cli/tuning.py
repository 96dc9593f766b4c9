"""The configuration of the embedded PostgreSQL: what our load needs, by the machine's memory and cores."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

MIB = 1 << 20


def configuration(sockets: Path, *, lasting: bool) -> str:
    """Return the lines of clarity.conf; `lasting` False is small, for tests, and as durable: start-up refuses less."""
    values = _by_machine() | _FIXED | {"unix_socket_directories": str(sockets)}
    if not lasting:
        values |= _FOR_TESTS
    return "".join(f"{name} = '{value}'\n" for name, value in values.items())


def _by_machine() -> dict[str, str]:
    memory = psutil.virtual_memory().total // MIB
    cores = os.cpu_count() or 1
    shared = min(max(memory // 4, 128), 2048)
    return {
        "shared_buffers": f"{shared}MB",
        "effective_cache_size": f"{max(memory // 2, 256)}MB",
        "maintenance_work_mem": f"{min(max(memory // 16, 64), 512)}MB",
        "max_parallel_workers_per_gather": "0" if cores < 4 else "2",
        "max_parallel_maintenance_workers": str(min(2, cores)),
    }


_FIXED = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    # An acknowledged write survives a crash: start-up of the server refuses less.
    "synchronous_commit": "on",
    "work_mem": "16MB",
    "wal_buffers": "16MB",
    "min_wal_size": "512MB",
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
    "effective_io_concurrency": "64",
    "jit": "off",  # statements of milliseconds never earn a compilation back
    "autovacuum_naptime": "15s",
    "autovacuum_vacuum_insert_scale_factor": "0.1",
    "autovacuum_analyze_scale_factor": "0.05",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # Nothing of a patient gets into the log: no statements, no DETAIL lines with key values, no parameters.
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
    "log_autovacuum_min_duration": "-1",
}

_FOR_TESTS = {
    "shared_buffers": "128MB",
    "min_wal_size": "80MB",
    "max_wal_size": "1GB",
}
