"""What dies comes back, what keeps dying waits, what is asked to end ends."""

import itertools
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fhir_server.cli import instance, stack
from fhir_server.cli.child import Child
from fhir_server.cli.supervise import Supervisor
from fhir_server.settings import Settings

FOREVER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    for _ in range(int(seconds * 50)):
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError("it did not happen")


def test_a_dead_child_is_started_again(tmp_path: Path) -> None:
    child = Child("forever", FOREVER, log=tmp_path / "log")
    child.start()
    assert child.process
    first, died = child.process.pid, []
    supervisor = Supervisor()
    supervisor.keep(child, on_death=died.append)
    os.kill(first, signal.SIGKILL)
    until(lambda: not child.running())
    assert supervisor.dead() is child
    until(lambda: (supervisor.look(), child.running())[1])
    assert child.process.pid != first
    assert died == [first]
    supervisor.end()
    assert not child.running()


def test_what_keeps_dying_waits_longer(tmp_path: Path) -> None:
    child = Child("broken", [sys.executable, "-c", ""], log=tmp_path / "log")
    child.start()
    starts = []
    supervisor = Supervisor()
    supervisor.keep(child, restart=lambda: (starts.append(time.monotonic()), child.start())[0])
    until(lambda: (supervisor.look(), len(starts) == 4)[1])
    pauses = [later - earlier for earlier, later in itertools.pairwise(starts)]
    assert pauses[2] > pauses[0]
    supervisor.end()


def test_a_child_that_ignores_the_signal_is_killed(tmp_path: Path) -> None:
    child = Child("stubborn", STUBBORN, log=tmp_path / "log", patience=0.3)
    child.start()
    until(lambda: "up" in child.tail())
    child.stop()
    assert child.process
    assert child.process.returncode == -signal.SIGKILL


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_no_child_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    script = (
        "import sys, time\nfrom pathlib import Path\nfrom fhir_server.cli.child import Child\n"
        f"child = Child('c', {FOREVER!r}, log=Path({str(tmp_path / 'log')!r}))\nchild.start()\n"
        "print(child.process.pid, flush=True)\ntime.sleep(60)\n"
    )
    parent = Child(
        "parent", [sys.executable, "-c", script], log=tmp_path / "parent", env={"PYTHONPATH": str(Path.cwd())}
    )
    parent.start()
    until(lambda: parent.tail().strip().isdigit())
    assert parent.process
    parent.process.kill()
    parent.process.wait()
    number = int(parent.tail())
    until(
        lambda: not Path(f"/proc/{number}/stat").exists() or Path(f"/proc/{number}/stat").read_text().split()[2] == "Z"
    )


def test_a_data_folder_has_one_instance(tmp_path: Path) -> None:
    there = instance.Instance(1, "http://127.0.0.1:1", 1, "postgresql://x", "unix://y")
    assert instance.running(tmp_path) is None
    with instance.claim(tmp_path) as held:
        assert instance.running(tmp_path) is None
        held.publish(there)
        assert instance.running(tmp_path) == there
        with pytest.raises(instance.AlreadyRuns, match=str(os.getpid())), instance.claim(tmp_path):
            pass
        with instance.claim_unless_held(tmp_path) as second:
            assert second is None
    assert instance.running(tmp_path) is None
    with instance.claim_unless_held(tmp_path) as again:
        assert again is not None


def test_an_instance_on_this_machine_is_reached_past_its_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(data=tmp_path, base_url="https://fhir.example.org", host="0.0.0.0", port=8123)
    base = "https://fhir.example.org/t/clinic/fhir"
    for answers, expected in ((True, "http://127.0.0.1:8123/t/clinic/fhir"), (False, base)):
        monkeypatch.setattr(stack, "answers", lambda *_, here=answers: here)
        assert stack.nearest(settings, base) == expected
