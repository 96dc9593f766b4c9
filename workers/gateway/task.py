"""What is asked of a model and what it answers: plain data, made by the rooms above."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

Role: TypeAlias = Literal["clinical", "extraction", "summary"]
"""What for; `MENTALLAMA_MODEL_MAPPINGS` says which model serves it."""

CITES: Final = "cites"
"""The property of an answer, at any depth, whose strings are ids of sources: anything else in it makes the answer Garbled."""


@dataclass(frozen=True, slots=True)
class Source:
    """A piece of the record as text: data, never instructions.

    `id` is what the model cites (letters, digits, `-`; unique in a task); `resource` is the (type, id) that the text is of, `also`
    are others that it rests on: the labels of every one, and the patient's Consents, decide whether the text may leave.
    """

    id: str
    text: str
    resource: tuple[str, str]
    also: tuple[tuple[str, str], ...] = ()

    @property
    def rests_on(self) -> frozenset[tuple[str, str]]:
        """Return every resource that the text says something of."""
        return frozenset((self.resource, *self.also))


@dataclass(frozen=True, slots=True)
class Task:
    """One question. `instructions` and `schema` are ours and hold nothing of a patient."""

    patient: str
    """Logical id of the Patient whose record it is."""
    role: Role
    template: str
    """Name and version of what made the instructions, such as `soap/1`; kept in the log."""
    instructions: str
    sources: tuple[Source, ...]
    schema: Mapping[str, Any]
    """JSON Schema (2020-12) of the answer, an object; lists of citations are properties named `cites`."""
    max_tokens: int = 2000
    """Tokens of the answer at most."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said: checked against the schema and the ids given, pseudonyms and dates turned back."""

    content: dict[str, Any]
    model: str
    withheld: tuple[str, ...]
    """Ids of sources that policy kept in; the model never saw them."""
    prompt_tokens: int
    completion_tokens: int
    log: int
    """Row of the local log that has what was sent."""


Progress: TypeAlias = Callable[[int], Awaitable[None]]
"""Told, as the answer streams in, how many characters there are so far."""
