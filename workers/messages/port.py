"""The port: what a message is when it leaves, what a transport promises, and the three ways in which it fails."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

Channel = Literal["sms", "email"]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to one place. `ref` is the same at every attempt and all that a provider learns of what it is about.

    `mark` stands in the text and in no other message to that place: what `find` looks for.
    """

    ref: str
    to: str = field(repr=False)
    subject: str = field(repr=False)
    text: str = field(repr=False)
    mark: str = field(repr=False, default="")


class Failed(Exception):
    """A message was not, or not surely, taken; `reason` is a word for the row, never what a provider wrote."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason, self.retry_after = reason, retry_after


class Later(Failed):
    """Not taken this time; worth another try, after `retry_after` seconds where the provider said so."""


class Never(Failed):
    """Not taken, and it never will be: this place, or this message, is refused."""


class Unsure(Failed):
    """The connection broke between the request and its answer."""


class Transport(Protocol):
    """A provider of one channel. Holds no state that matters; every call may be the first."""

    @property
    def name(self) -> str:
        """What rows and metrics call it."""
        ...

    @property
    def remembers(self) -> bool:
        """Whether `find` can tell after the event if a message was taken."""
        ...

    async def send(self, message: Outgoing) -> str:
        """Hand a message over; return the provider's id for it. Later, Never or Unsure."""
        ...

    async def find(self, message: Outgoing, since: datetime) -> str | None:
        """Return the provider's id of a message that was handed over after `since`, None when there is none; Later."""
        ...
