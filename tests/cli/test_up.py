"""`./clarity up` as people use it: starts, answers, survives every kind of end, and its commands work beside it."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fhir_server.cli import instance
from fhir_server.settings import environment
from tests.house.tree import ROOT

READY_SECONDS = 120  # a shared machine; `./clarity bench` is where times are measured


class Running:
    """An instance over a folder of its own, and the commands beside it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def clarity(self, *words: str, **given: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-P", "-m", "fhir_server", *words, "--data", str(self.folder)]
        return subprocess.run(command, env=ENVIRONMENT, cwd=self.folder, capture_output=True, text=True, **given)

    def up(self) -> None:
        options = ["--no-demo", "--processes", "2", "--port", str(self.port), "--data", str(self.folder)]
        with (self.folder / "screen").open("ab") as screen:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "fhir_server", "up", *options],
                env=ENVIRONMENT,
                stdout=screen,
                stderr=screen,
            )
        for _ in range(READY_SECONDS * 10):
            if instance.running(self.folder) is not None:
                return
            assert self.process.poll() is None, (self.folder / "screen").read_text()
            time.sleep(0.1)
        raise AssertionError((self.folder / "screen").read_text())

    def end(self, number: signal.Signals) -> list[psutil.Process]:
        """Send a signal, wait for the end, and return the processes that are left of it."""
        assert self.process
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.send_signal(number)
        self.process.wait(60)
        return psutil.wait_procs(family, timeout=15)[1]

    def request(self, method: str, path: str, token: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"}
        connection.request(method, f"/fhir/{path}", json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        found = json.loads(answer.read() or b"null")
        connection.close()
        return answer.status, found

    def token(self, scope: str) -> str:
        done = self.clarity("token", "--scope", scope)
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("\n") == 1
        return done.stdout.strip()


ENVIRONMENT = {
    name: value
    for name, value in environment(PYTHONPATH=str(ROOT), PYTHONWARNINGS="").items()
    if name not in ("DATABASE_URL", "REDIS_URL", "CLARITY_DATA")
}


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    with tempfile.TemporaryDirectory(prefix="clarity-up-") as name:
        Path(name).chmod(0o755)
        found = Running(Path(name))
        found.up()
        yield found
        if found.process and found.process.poll() is None:
            found.end(signal.SIGTERM)


def test_it_serves_and_its_commands_work(running: Running) -> None:
    token = running.token("system/*.cruds")
    status, made = running.request("POST", "Patient", token, {"resourceType": "Patient", "active": True})
    assert status == 201
    assert running.request("GET", f"Patient/{made['id']}", token)[0] == 200
    assert running.request("GET", f"Patient/{made['id']}", "nonsense")[0] == 401
    reader = running.token("system/Observation.rs")
    assert running.request("GET", f"Patient/{made['id']}", reader)[0] == 403


def test_load_reports_and_does_nothing_twice(running: Running) -> None:
    lines = [{"resourceType": "Patient", "id": f"loaded{number}"} for number in range(5)]
    lines.append({"resourceType": "Patient", "id": "bad", "gender": "x"})
    (running.folder / "a.ndjson").write_text("\n".join(map(json.dumps, lines)))
    first = running.clarity("load", str(running.folder / "a.ndjson"), "--json")
    report = json.loads(first.stdout)
    assert (first.returncode, report["loaded"], report["refused"]) == (1, 5, 1)
    (refusal,) = report["files"][0]["refusals"]
    assert refusal["line"] == 6
    again = json.loads(running.clarity("load", str(running.folder / "a.ndjson"), "--json").stdout)
    assert (again["loaded"], again["skipped"], again["refused"]) == (0, 5, 1)


def test_clients_come_and_go(running: Running) -> None:
    key = running.folder / "key.json"
    words = ("clients", "add", "--id", "hub", "--name", "Hub", "--scope", "system/Observation.c", "--json")
    added = running.clarity(*words, "--generate", str(key))
    assert added.returncode == 0, added.stderr
    assert key.stat().st_mode & 0o777 == 0o600
    listed = json.loads(running.clarity("clients", "list", "--json").stdout)
    assert [(client["client_id"], client["method"]) for client in listed] == [("hub", "private_key_jwt")]
    assert running.clarity("clients", "remove", "hub").returncode == 0
    assert running.clarity("clients", "remove", "hub").returncode == 1


def test_a_second_one_is_refused_and_doctor_finds_nothing_wrong(running: Running) -> None:
    second = running.clarity("up", "--no-demo", "--port", str(running.port))
    assert second.returncode == 1
    assert "already runs" in second.stderr
    doctor = running.clarity("doctor", "--json")
    assert json.loads(doctor.stdout)["problems"] == []
    assert doctor.returncode == 0


def test_the_port_of_somebody_else_is_not_shared(running: Running) -> None:
    with tempfile.TemporaryDirectory() as other:
        command = [sys.executable, "-P", "-m", "fhir_server", "serve", "--data", other, "--port", str(running.port)]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
        assert done.returncode == 1
        assert str(running.port) in done.stderr


def test_a_killed_web_process_and_a_killed_database_come_back(running: Running) -> None:
    token = running.token("system/Patient.cru")
    assert running.process
    before = {child.pid: child for child in psutil.Process(running.process.pid).children()}
    for child in before.values():
        if "fhir_server.cli.web" in child.cmdline() or child.name() in ("postgres", "redis-server"):
            os.kill(child.pid, signal.SIGKILL)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            if running.request("PUT", "Patient/after", token, {"resourceType": "Patient", "id": "after"})[0] < 300:
                break
        except OSError:
            time.sleep(0.2)
    assert running.request("GET", "Patient/after", token)[0] == 200
    names = [child.name() for child in psutil.Process(running.process.pid).children() if child.pid not in before]
    assert {"postgres", "redis-server"} <= set(names)


def test_after_kill_9_of_everything_it_starts_again_with_its_data(running: Running) -> None:
    token = running.token("system/Patient.cru")
    running.request("PUT", "Patient/kept", token, {"resourceType": "Patient", "id": "kept"})
    assert running.process
    everything = psutil.Process(running.process.pid).children(recursive=True)
    running.process.kill()
    for child in everything:
        if child.is_running():
            child.kill()
    running.process.wait(30)
    psutil.wait_procs(everything, timeout=15)
    running.up()
    assert running.request("GET", "Patient/kept", token)[0] == 200


def test_sigterm_leaves_nothing_behind(running: Running) -> None:
    assert running.end(signal.SIGTERM) == []
    assert running.process
    assert running.process.returncode == 0
    assert instance.running(running.folder) is None


def test_commands_work_without_a_running_instance(running: Running) -> None:
    assert running.token("system/Patient.rs").count(".") == 2
    assert running.clarity("load", "a.ndjson").returncode == 1
    assert "up" in running.clarity("load", "a.ndjson").stderr
