"""Why a Subscription is not served: a stable word and a sentence for Subscription.error, without anything of a patient."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Refusal(Exception):
    """The Subscription, or a notification of it, cannot be served; trying again changes nothing."""

    reason: str
    text: str

    def __post_init__(self) -> None:
        super().__init__(self.reason)
