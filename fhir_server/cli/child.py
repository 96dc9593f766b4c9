"""One child process: started in a session of its own, ended in order, and never left behind where Linux can help it."""

from __future__ import annotations

import ctypes
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


@dataclass(slots=True)
class Child:
    """A program with its arguments, the signal that ends it politely, and where its output goes."""

    name: str
    command: Sequence[str]
    log: Path | None = None
    polite: signal.Signals = signal.SIGTERM
    patience: float = 20.0
    env: Mapping[str, str] | None = None
    run_as: Mapping[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the program in a session of its own: a Ctrl-C in the terminal reaches the supervisor alone."""
        out = self._output()
        try:
            self.process = subprocess.Popen(  # noqa: S603  our own programs, no shell
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out and subprocess.STDOUT,
                env=self.env,
                start_new_session=True,
                preexec_fn=self._die_with_parent if _LIBC else None,  # one prctl call, nothing else
                **self.run_as,
            )
        finally:
            if out:
                out.close()

    def running(self) -> bool:
        """Tell whether the program runs."""
        return self.process is not None and self.process.poll() is None

    def ask_to_end(self) -> None:
        """Send the polite signal, and return at once."""
        if self.process is not None and self.running():
            self.process.send_signal(self.polite)

    def stop(self) -> None:
        """End the program: politely, and after `patience` seconds by force."""
        self.ask_to_end()
        if self.process is None:
            return
        try:
            self.process.wait(self.patience)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def tail(self, lines: int = 12) -> str:
        """Return the end of the log, for the sentence that says why a start failed."""
        if self.log is None or not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])

    def _output(self) -> IO[bytes] | None:
        if self.log is None:
            return None
        self.log.parent.mkdir(parents=True, exist_ok=True)
        mode = "wb" if self.log.exists() and self.log.stat().st_size > 16_000_000 else "ab"
        return self.log.open(mode)

    def _die_with_parent(self) -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(self.polite), 0, 0, 0)
