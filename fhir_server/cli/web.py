"""One web process: `python -m fhir_server.cli.web NAME [APP]`, started and kept alive by `up` and `serve`.

All web processes listen on the same port by SO_REUSEPORT, so that the kernel spreads connections and none has to
hand a socket on.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys

import uvicorn

from fhir_server import settings
from fhir_server.kit import clock, logs

APP = "fhir_server.app:create_app"
_GRACE = 15
_FAREWELL = 1.0
"""Seconds in which connections that are kept alive get one more answer, which says that it is the last."""


class Server(uvicorn.Server):
    """uvicorn's, which would close a kept connection at SIGTERM although a request may be on its way to it."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no new connections, end the others by `Connection: close`, then go."""
        for server in self.servers:
            server.close()
        self.server_state.default_headers.append((b"connection", b"close"))
        until = clock.monotonic() + _FAREWELL
        while self.server_state.connections and clock.monotonic() < until:  # noqa: ASYNC110  uvicorn tells nobody
            await asyncio.sleep(0.02)
        await super().shutdown(sockets)


def listening(host: str, port: int) -> socket.socket:
    """Return a socket bound to the port together with the other web processes."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((host, port))
    return bound


def configuration(current: settings.Settings, app: str = APP) -> uvicorn.Config:
    """Return how uvicorn serves the application: its own logging and guessing are switched off."""
    return uvicorn.Config(
        app,
        factory=True,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=4096,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=current.trusted_proxies is not None,
        forwarded_allow_ips=current.trusted_proxies,
        backlog=2048,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_GRACE,
    )


def main(name: str = "web", app: str = APP) -> None:
    """Serve until SIGTERM; the bench serves its bare endpoint by the same way."""
    current = settings.current()
    logs.configure(current.log_level, sanitize=current.phi_sanitization_enabled, process=name)
    config = configuration(current, app)
    config.load()
    gc.collect()
    gc.freeze()  # what start-up made lives for ever: no collection need walk it again
    gc.set_threshold(20_000, 20, 50)
    Server(config).run(sockets=[listening(current.host, current.port)])


if __name__ == "__main__":
    main(*sys.argv[1:3])
