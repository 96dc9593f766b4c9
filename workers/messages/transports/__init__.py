"""The ways out: Twilio, SES, SMTP, chosen by settings."""

from __future__ import annotations

from fhir_server.settings import Settings
from workers.messages.port import Channel, Transport
from workers.messages.transports.smtp import Smtp
from workers.messages.transports.twilio import Twilio


def transports(settings: Settings, base: str) -> dict[Channel, Transport]:
    """Return the transport of each channel that is set up; `base` is the FHIR base of the tenant, beside which its hooks are."""
    found: dict[Channel, Transport] = {}
    if settings.sends_text:
        found["sms"] = Twilio.of(settings, f"{base.removesuffix('/fhir')}/hooks/twilio/status")
    if settings.ses_from is not None:
        from workers.messages.transports.ses import Ses  # boto3 takes half a second and 30 MB that few workers need

        found["email"] = Ses.of(settings)
    elif settings.smtp_url is not None:
        found["email"] = Smtp(settings.smtp_url.get_secret_value(), settings.mail_from)
    return found
