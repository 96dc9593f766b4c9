"""Codes of messages: which Communications are sent, for what class of reason, and why one was not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from profiles.psych.codes import BASE, profile

CATEGORIES: Final[Mapping[str, str]] = {
    "alert": "Somebody must know of a finding: sent at once when it is urgent.",
    "reminder": "Somebody is reminded of what they have agreed to do.",
}
"""Categories of Communications that the server sends by itself."""

REASONS: Final[Mapping[str, str]] = {
    "clinical-alert": "A finding about a patient that a clinician should look at.",
    "device-alert": "A device is silent or failing.",
    "appointment": "An appointment is near.",
    "questionnaire": "A questionnaire waits for answers.",
    "notice": "Something is to be read on the server.",
}
"""Classes of reasons: all that a message says of why it was sent."""

OUTCOMES: Final[Mapping[str, str]] = {
    "not-allowed": "Who wrote the Communication may not have messages sent: services and staff may.",
    "no-recipient": "The Communication names nobody.",
    "recipient-not-served": "Messages go to a Patient, RelatedPerson, Practitioner or PractitionerRole on this server.",
    "recipient-inactive": "The recipient's record is not active.",
    "recipient-deceased": "The recipient has died.",
    "medium-not-served": "None of the media asked for is text message or e-mail.",
    "no-contact-point": "The recipient has no contact point for the medium.",
    "address-malformed": "The contact point is no telephone number in international form or no e-mail address.",
    "not-verified": "No contact point of the recipient has been verified.",
    "opted-out": "The recipient does not want messages at this contact point.",
    "daily-limit": "The recipient has had as many messages today as are allowed.",
    "quiet-hours": "It is night at the recipient's; the message waits.",
    "bundling": "The message waits a moment for others of the same reason.",
    "no-transport": "No provider is set up for the medium.",
    "provider-away": "The provider does not answer or asked to wait; it is tried again.",
    "next-contact-point": "A contact point will not take the message; it goes to another one of the recipient.",
    "provider-refused": "The provider will not take the message.",
    "gave-up": "The provider was tried many times in vain.",
    "outcome-unknown": "The connection or this server broke while the message was handed over: it may have been sent.",
    "undelivered": "The provider could not deliver the message.",
    "withdrawn": "The Communication was withdrawn before it was sent.",
    "same-recipient": "The Communication names the same person before.",
    "too-late": "What the message was about is over, off, or was moved.",
}
"""Why a message was not sent, or waits: the codes of `Communication.statusReason`."""

DETAILS: Final[Mapping[str, str]] = {
    "none": "A link and the class of reason.",
    "time": "Also when an appointment is.",
    "content": "Also what the Communication's payload says.",
}
"""How much a message to the patient may say, by the patient's wish (extension `message-detail` of a contact point)."""


def category(base: str = BASE) -> str:
    """Return the URL of the CodeSystem of `CATEGORIES`."""
    return f"{base}/CodeSystem/message-category"


def reason(base: str = BASE) -> str:
    """Return the URL of the CodeSystem of `REASONS`."""
    return f"{base}/CodeSystem/message-reason"


def outcome(base: str = BASE) -> str:
    """Return the URL of the CodeSystem of `OUTCOMES`."""
    return f"{base}/CodeSystem/message-outcome"


def detail(base: str = BASE) -> str:
    """Return the URL of the extension of a ContactPoint that says how much a message there may tell."""
    return profile("message-detail", base)


def delivery(base: str = BASE) -> str:
    """Return the URL of the extension of a recipient that says what came of the message to them."""
    return profile("message-delivery", base)
