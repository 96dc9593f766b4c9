"""What was loaded already: one line for each step of each file, so that an interrupted load goes on where it stopped."""

from __future__ import annotations

from pathlib import Path

import msgspec


class Step(msgspec.Struct, frozen=True):
    """A file by the digest of its content, up to which part it was sent (`done`: entirely), what was taken and refused."""

    digest: str
    parts: int
    resources: int
    done: bool
    refused: int = 0


_STEP = msgspec.json.Decoder(Step)


class Ledger:
    """The steps that were taken for one tenant of one instance."""

    def __init__(self, path: Path, *, forget: bool = False) -> None:
        """Read the steps; `forget` starts anew."""
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if forget:
            path.unlink(missing_ok=True)
        self._last: dict[str, Step] = {}
        for line in path.read_bytes().splitlines() if path.exists() else []:
            try:
                step = _STEP.decode(line)
            except msgspec.MsgspecError:
                continue  # a line that a crash cut short: the step before it counts
            self._last[step.digest] = step

    def at(self, digest: str) -> Step:
        """Return how far a file was loaded."""
        return self._last.get(digest, Step(digest, 0, 0, done=False))

    def note(self, step: Step) -> None:
        """Keep a step."""
        self._last[step.digest] = step
        with self._path.open("ab") as file:
            file.write(msgspec.json.encode(step) + b"\n")
