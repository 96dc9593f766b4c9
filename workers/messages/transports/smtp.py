"""E-mail by a mail server: a plain text mail with a Message-ID that is the same at every attempt."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.utils import formatdate
from typing import Final

from fhir_server.kit import clock, smtp
from workers.messages.port import Later, Never, Outgoing, Unsure

_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Smtp:
    """One mail server. It tells nobody later whether a mail arrived."""

    url: str = field(repr=False)
    sender: str
    name: str = "smtp"
    remembers: bool = False

    async def send(self, message: Outgoing) -> str:
        """Hand a mail over; the id is its Message-ID."""
        mail = self._mail(message)
        try:
            await asyncio.to_thread(smtp.hand_over, self.url, mail, _SECONDS)
        except smtp.Unsure as error:
            raise Unsure("connection") from error
        except smtp.NotTaken as error:
            raise (Never("provider-refused") if error.lasting else Later(error.reason)) from error
        return str(mail["Message-ID"])

    async def find(self, message: Outgoing, since: datetime) -> str | None:  # noqa: ARG002  the port's words
        """Return None: a mail server lists nothing."""
        return None

    def _mail(self, message: Outgoing) -> EmailMessage:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = self.sender, message.to, message.subject
        mail["Date"] = formatdate(clock.seconds())
        mail["Message-ID"] = f"<{message.ref}@{self.sender.rpartition('@')[2].rstrip('>')}>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(message.text)
        return mail
