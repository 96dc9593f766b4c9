"""Notifications by e-mail (Backport 1.1: channels.html#email): a mail without anything of a patient, the Bundle attached.

Only `empty` and `id-only` go this way (`topics/wants.py`): numbers and addresses on this server, never content.
"""

from __future__ import annotations

import asyncio
from email.message import EmailMessage
from email.utils import formatdate
from typing import Final

from fhir_server.kit import clock, smtp
from fhir_server.settings import Settings
from fhir_server.subscriptions.channel import Channel

_TEXT: Final = (
    "Something that you subscribed to has changed. The details are on the server; what is attached says where."
)


async def send(way: Channel, id_: str, body: bytes, settings: Settings | None) -> str | None:
    """Hand a mail to the mail server; None when it took it, else a reason class."""
    if settings is None or settings.smtp_url is None:
        return "no-mail-server"
    message = _message(way, id_, body, settings)
    try:
        await asyncio.to_thread(smtp.hand_over, settings.smtp_url.get_secret_value(), message, way.seconds)
    except smtp.NotTaken as error:
        return error.reason
    except smtp.Unsure:
        return "broken-answer"
    return None


def _message(way: Channel, id_: str, body: bytes, settings: Settings) -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"] = settings.mail_from, way.path
    message["Subject"] = "Notification"
    message["Date"] = formatdate(clock.seconds())
    message["Message-ID"] = f"<{id_}@{settings.mail_from.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(_TEXT)
    subtype = (way.payload or "").split(";")[0].partition("/")[2]
    suffix = "xml" if "xml" in subtype else "json"
    message.add_attachment(body, maintype="application", subtype=subtype, filename=f"notification.{suffix}")
    return message
