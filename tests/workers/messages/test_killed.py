"""Worker processes that are killed while Twilio has their request: each message leaves once, whatever Twilio had kept by then."""

from __future__ import annotations

from pathlib import Path

import pytest

from fhir_server.storage.tenants import Tenant
from tests.subscriptions import subscribing as given
from tests.workers.messages.sending import Desk, communication, mobile, number, patient, settings, twilio
from tests.workers.messages.twilio_server import Twilio
from tests.workers.test_process import process

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("answer", ["lost", "hangup"])
async def test_kill_9_in_the_middle_of_a_call(
    tenants: dict[str, Tenant], tmp_path: Path, keys_dir: Path, database_url: str, redis_url: str, sms: Twilio,
    unique: str, answer: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "keys").symlink_to(keys_dir)
    for name, value in {**twilio(sms.url), "message_bundle_seconds": "0", "message_quiet_hours": "none"}.items():
        monkeypatch.setenv(name.upper(), value)
    desk = Desk(tenants["default"], settings(tmp_path))
    to = number()
    who = await desk.put(patient(unique, mobile(to)))
    await desk.verify(who, to)
    made = await desk.put(communication(who))
    with process(tmp_path, database_url, redis_url) as first:

        def kills(form: dict[str, str]) -> str:
            if form["To"] == to:
                first.kill()
                return answer
            return "ok"

        sms.answer = kills
        await given.until(lambda: _ended(first))
    assert (await desk.rows(made))[0].state == "sending"
    assert len(sms.to(to)) == (answer == "lost")
    sms.answer = lambda _form: "ok"
    with process(tmp_path, database_url, redis_url):

        async def told() -> bool:
            return (await desk.state(made))[0] == "in-progress"

        await given.until(told)
    assert len(sms.to(to)) == 1


async def _ended(process: object) -> bool:
    return process.poll() is not None  # type: ignore[attr-defined]
