"""The one SMTP client: hands one mail to the mail server of a URL, and says of every failure whether it may have been taken."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from typing import Final
from urllib.parse import unquote, urlsplit

PORTS: Final = {"smtp": 25, "smtps": 465}
_GONE: Final = 550


class NotTaken(Exception):
    """The server has not taken the mail: `reason` in a word, `lasting` when it never will."""

    def __init__(self, reason: str, *, lasting: bool = False) -> None:
        super().__init__(reason)
        self.reason, self.lasting = reason, lasting


class Unsure(Exception):
    """The connection broke after the mail was sent and before the server answered: nobody knows."""


def hand_over(url: str, message: EmailMessage, seconds: float) -> None:
    """Send a mail to the one recipient in `To`; NotTaken or Unsure when there is no 250 for it.

    `url` is smtp(s)://user:password@host:port. Blocks: for a thread.
    """
    try:
        server = _connected(url, seconds)
    except smtplib.SMTPException as error:
        raise NotTaken("mail-refused") from error
    except ssl.SSLError as error:
        raise NotTaken("tls") from error
    except OSError as error:
        raise NotTaken("connection") from error
    try:
        _send(server, message)
    finally:
        server.close()


def _connected(url: str, seconds: float) -> smtplib.SMTP:
    parts = urlsplit(url)
    port = parts.port or PORTS[parts.scheme]
    trust = ssl.create_default_context()
    if parts.scheme == "smtps":
        server: smtplib.SMTP = smtplib.SMTP_SSL(parts.hostname or "", port, timeout=seconds, context=trust)
    else:
        server = smtplib.SMTP(parts.hostname or "", port, timeout=seconds)
    try:
        server.ehlo_or_helo_if_needed()
        if parts.scheme == "smtp" and server.has_extn("starttls"):
            server.starttls(context=trust)
            server.ehlo()
        if parts.username:
            server.login(unquote(parts.username), unquote(parts.password or ""))
    except BaseException:
        server.close()
        raise
    return server


def _send(server: smtplib.SMTP, message: EmailMessage) -> None:
    """Speak the transaction step by step: only the answer to the end of DATA leaves a doubt."""
    try:
        code, _ = server.mail(message["From"].addresses[0].addr_spec)
        if code != 250:
            raise NotTaken("mail-refused", lasting=code >= 500)
        code, _ = server.rcpt(message["To"].addresses[0].addr_spec)
        if code not in (250, 251):
            lasting = code >= 500
            raise NotTaken("recipient-refused" if code == _GONE else "mail-deferred", lasting=lasting)
    except UnicodeError as error:
        raise NotTaken("recipient-refused", lasting=True) from error
    except (smtplib.SMTPException, OSError) as error:
        raise NotTaken("connection") from error
    try:
        code, _ = server.data(message.as_bytes(policy=message.policy.clone(linesep="\r\n")))
    except smtplib.SMTPDataError as error:  # it did not want the text at all
        raise NotTaken("mail-refused", lasting=error.smtp_code >= 500) from error
    except (smtplib.SMTPException, OSError) as error:
        raise Unsure from error
    if code != 250:
        raise NotTaken("mail-refused", lasting=code >= 500)
    try:
        server.quit()
    except (smtplib.SMTPException, OSError):  # it has taken the mail: how it says goodbye is its business
        return
