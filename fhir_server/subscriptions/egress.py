"""The way out for notifications: the guard of `kit/addresses.py` with this installation's settings."""

from __future__ import annotations

import ssl

import httpcore

from fhir_server.kit import addresses
from fhir_server.kit.addresses import Closed, Reach
from fhir_server.settings import Settings
from fhir_server.subscriptions.channel import Channel
from fhir_server.subscriptions.refusal import Refusal

NOT_PUBLIC = "endpoint-not-public"


def reach(settings: Settings) -> Reach:
    """Return what notifications may connect to: the Internet, the hosts that are listed, and this machine outside production."""
    return Reach(
        loopback=settings.environment != "production",
        private_hosts=frozenset(host.lower() for host in settings.notify_private_hosts),
    )


async def check(channel: Channel, settings: Settings) -> None:
    """Refuse an endpoint that may not be reached now; a name that does not resolve now may do so later."""
    if channel.kind == "email" and settings.smtp_url is None:
        raise Refusal("channel-not-supported", "This server sends no e-mail: SMTP_URL is not set.")
    if channel.kind in ("email", "websocket"):
        return
    within = reach(settings)
    if not within.permits(channel.scheme, channel.host):
        raise Refusal("endpoint-not-https", "channel.endpoint must be https.")
    try:
        within.judge(channel.host, await addresses.resolve(channel.host, channel.port))
    except Closed:
        text = "channel.endpoint leads to an address that notifications may not reach."
        raise Refusal(NOT_PUBLIC, text) from None
    except OSError:
        return


def client(settings: Settings, trust: ssl.SSLContext | None = None) -> httpcore.AsyncConnectionPool:
    """Return the connections of this process; `trust` in place of the authorities of the system and of certifi."""
    most = settings.worker_deliveries
    return addresses.connections(reach(settings), trust=trust, most=most * 2, kept=most)
