"""A web process that ends answers what it was asked."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.fire.instance import ROOT, free_port

REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def application():
    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            for kind in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{kind}.complete"})
            return
        await asyncio.sleep(0.005)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    return app


async def ask(port: int) -> tuple[int, bytes]:
    """Ask over one connection until it is to be closed; return how often, and the last answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    count = 0
    while True:
        writer.write(REQUEST)
        head = await reader.readuntil(b"\r\n\r\n")
        count += 1
        last = head + await reader.readexactly(2)
        if b"connection: close" in head.lower():
            writer.close()
            return count, last
        await asyncio.sleep(0.05)  # kept and idle, as most connections are at any moment


async def until_open(port: int) -> None:
    for _ in range(400):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
    raise AssertionError("the web process does not listen")


async def test_at_sigterm_every_kept_connection_gets_a_last_answer(tmp_path: Path) -> None:
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PORT": str(port), "CLARITY_DATA": str(tmp_path)}
    command = [sys.executable, "-P", "-m", "fhir_server.cli.web", "web", "tests.cli.test_web:application"]
    process = subprocess.Popen(command, env=environment, cwd=ROOT)  # noqa: ASYNC220
    try:
        await until_open(port)
        asking = [asyncio.create_task(ask(port)) for _ in range(16)]
        await asyncio.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        answers = await asyncio.wait_for(asyncio.gather(*asking), 10)
        assert all(count > 1 and last.endswith(b"ok") for count, last in answers)
        assert await asyncio.to_thread(process.wait, 10) in (0, -signal.SIGTERM)
    finally:
        process.kill()
