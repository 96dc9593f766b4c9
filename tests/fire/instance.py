"""A whole instance in processes of its own, which a test may kill as it likes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import redis

ROOT = Path(__file__).resolve().parents[2]
PYTHON = [sys.executable, "-P", "-m", "fhir_server"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Up:
    """`clarity up` that runs: its base address and its processes."""

    process: subprocess.Popen[bytes]
    data: Path
    port: int
    environment: dict[str, str]

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self.port}/fhir"

    def token(self, scope: str) -> str:
        command = [*PYTHON, "token", "--data", str(self.data), "--scope", scope]
        return subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True).stdout.strip()

    def processes(self, what: str) -> list[psutil.Process]:
        """Return processes of the instance whose command line contains `what`."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if what in " ".join(child.cmdline()) and child.status() != psutil.STATUS_ZOMBIE:
                    found.append(child)
            except psutil.NoSuchProcess:
                continue
        return found

    def kill(self, what: str) -> str:
        """kill -9 the first process whose command line contains `what`."""
        until = time.monotonic() + 20
        while not (there := self.processes(what)):  # it may just be starting again after an earlier kill
            assert time.monotonic() < until, f"there is no process {what}"
            time.sleep(0.05)
        victim = min(there, key=lambda process: process.create_time())
        victim.send_signal(signal.SIGKILL)
        return f"kill -9 {what}"

    def flush_redis(self) -> str:
        """FLUSHALL."""
        url = json.loads((self.data / "instance.json").read_text())["redis_url"]
        with redis.Redis.from_url(url) as client:
            client.flushall()
        return "FLUSHALL"


@contextmanager
def up(data: Path, *arguments: str, **environment: str) -> Iterator[Up]:
    """Run `clarity up` until the block ends; ready when it answers."""
    port = free_port()
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [*PYTHON, "up", "--data", str(data), "--port", str(port), *arguments]
    log = data.with_name(f"{data.name}.log").open("wb")
    process = subprocess.Popen(command, env=variables, stdout=log, stderr=log, start_new_session=True)
    try:
        wait_ready(port, process)
        yield Up(process, data, port, variables)
    finally:
        process.terminate()
        try:
            process.wait(40)
        finally:
            log.close()


def wait_ready(port: int, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        assert process.poll() is None, "clarity up ended"
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError("clarity up was not ready in time")
