"""The load itself: a reader that fills a short queue, senders that empty it, a report of each file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fhir_server.cli.loading import sources
from fhir_server.cli.loading.ledger import Ledger, Step
from fhir_server.cli.loading.sender import Refusal, Sender
from fhir_server.cli.loading.sources import Part

SHOWN_REFUSALS = 20


@dataclass(slots=True)
class FileReport:
    """What became of one file; resources that an earlier run loaded count as `skipped`."""

    file: Path
    digest: str = ""
    loaded: int = 0
    skipped: int = 0
    refused: int = 0
    refusals: list[dict[str, Any]] = field(default_factory=list)
    parts: int | None = None
    """How many there are, known when all were read."""
    position: int = 0
    """How much of the file is done, in its own bytes."""
    sent: set[int] = field(default_factory=set)
    settled: dict[int, tuple[int, int]] = field(default_factory=dict)
    """How many resources of a request that is done were taken and refused, until the ledger counts them."""
    step: Step = field(default_factory=lambda: Step("", 0, 0, done=False))

    def as_json(self) -> dict[str, Any]:
        """Return the report for `--json`."""
        return {
            "file": str(self.file),
            "loaded": self.loaded,
            "skipped": self.skipped,
            "refused": self.refused,
            "refusals": self.refusals,
        }


class Load:
    """One run over some files."""

    def __init__(self, sender: Sender, ledger: Ledger, told: Callable[[list[FileReport]], None], jobs: int) -> None:
        """Take where to send, what was done before, and who is told of the progress."""
        self.reports: list[FileReport] = []
        self._sender = sender
        self._ledger = ledger
        self._told = told
        self._jobs = jobs
        self._queue: asyncio.Queue[tuple[FileReport, Part]] = asyncio.Queue(maxsize=jobs)

    async def run(self, files: list[Path]) -> None:
        """Send all files; Unreachable ends the run at once."""
        senders = [asyncio.create_task(self._send_all()) for _ in range(self._jobs)]
        reader = asyncio.create_task(self._read_all(files))
        try:
            done, _ = await asyncio.wait([reader, *senders], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # the reader when all is read and sent, or a sender's Unreachable
        finally:
            for task in (reader, *senders):
                task.cancel()
            await asyncio.gather(reader, *senders, return_exceptions=True)

    async def _read_all(self, files: list[Path]) -> None:
        first = True
        for file in files:
            if first and not sources.goes_first(file):
                await self._queue.join()  # what others refer to is there before them
                first = False
            await self._read(file)
        await self._queue.join()
        for report in self.reports:
            self._ended(report)

    async def _read(self, file: Path) -> None:
        report = FileReport(file)
        self.reports.append(report)
        if file != sources.STDIN:
            report.digest = await asyncio.to_thread(sources.digest, file)
            report.step = self._ledger.at(report.digest)
        if report.step.refused:
            said = f"{report.step.refused} refused by an earlier run: --again sends all of the file anew"
            self._refuse(report, report.step.refused, {"status": 0, "text": said})
        report.skipped = report.step.resources
        if report.step.done:
            self._ended(report)
            return
        try:
            await self._queue_parts(report)
        except sources.FAILURES as error:
            self._refuse(report, 1, {"status": 0, "text": str(error)})
            self._ended(report)

    async def _queue_parts(self, report: FileReport) -> None:
        parts = sources.parts(report.file)
        number = 0
        while (part := await asyncio.to_thread(_next, parts)) is not None:
            number = part.number + 1
            if part.number < report.step.parts:
                report.sent.add(part.number)
            else:
                await self._queue.put((report, part))
        report.parts = number
        self._note(report)

    async def _send_all(self) -> None:
        while True:
            report, part = await self._queue.get()
            sending = asyncio.create_task(self._sender.send(part) if part.count else _nothing())
            try:
                await asyncio.shield(sending)
            finally:  # also when somebody ends the load: what is under way is noted, so that nothing goes twice
                self._settle(report, part, await sending)
            self._queue.task_done()

    def _settle(self, report: FileReport, part: Part, refusals: list[Refusal]) -> None:
        refused = part.count if refusals and refusals[0].entry is None else len(refusals)
        report.loaded += part.count - refused
        for place, why in part.broken:
            self._refuse(report, 1, {"status": 0, "text": why, part.kind: place})
        for refusal in refusals:
            self._refuse(report, part.count if refusal.entry is None else 1, _shown(part, refusal))
        if not refused or not (part.entire or refusals[0].entry is None):
            report.sent.add(part.number)
            report.settled[part.number] = part.count - refused, refused + len(part.broken)
        self._note(report)
        report.position = max(report.position, part.position)
        if part.entire:
            self._ended(report)
        self._told(self.reports)

    def _ended(self, report: FileReport) -> None:
        report.position = report.file.stat().st_size if report.digest else 0
        self._told(self.reports)

    def _note(self, report: FileReport) -> None:
        """Keep how far the file is loaded without a gap; a Bundle that was refused is tried again next time."""
        if not report.digest:
            return
        reached = report.step.parts
        while reached in report.sent:
            reached += 1
        done = bool(report.parts) and reached >= (report.parts or 0)
        if reached > report.step.parts or (done and not report.step.done):
            new = [report.settled.pop(number) for number in range(report.step.parts, reached)]
            taken = report.step.resources + sum(taken for taken, _ in new)
            refused = report.step.refused + sum(refused for _, refused in new)
            report.step = Step(report.digest, reached, taken, done, refused)
            self._ledger.note(report.step)

    @staticmethod
    def _refuse(report: FileReport, count: int, refusal: dict[str, Any]) -> None:
        report.refused += count
        if len(report.refusals) < SHOWN_REFUSALS:
            report.refusals.append(refusal)


def _shown(part: Part, refusal: Refusal) -> dict[str, Any]:
    """Return a refusal with its place in the file: a line of NDJSON, an entry of a Bundle."""
    said: dict[str, Any] = {"status": refusal.status, "text": refusal.text}
    if refusal.entry is None or part.kind == "file":
        return said
    return said | {part.kind: part.numbers[refusal.entry] if part.numbers else refusal.entry}


async def _nothing() -> list[Refusal]:
    return []


def _next(parts: Iterator[Part]) -> Part | None:
    return next(parts, None)
