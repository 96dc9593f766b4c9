"""A log line holds fields of the allow-list and nothing that an exception or a library quoted."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog

from fhir_server.errors import NotFound
from fhir_server.kit import logs


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, before = root.handlers[:], root.level, structlog.get_config()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.configure(**before)
    logs.clear()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_keeps_what_is_allowed_and_drops_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(process="web 1")
    logs.bind(request_id="r1")
    logs.logger("clarity.test").info("read", type="Patient", status=200, family="Chalmers")
    (line,) = lines(capsys)
    assert line["event"] == "read"
    assert (line["request_id"], line["type"], line["status"], line["process"]) == ("r1", "Patient", 200, "web 1")
    assert "Chalmers" not in json.dumps(line)


def test_an_exception_leaves_its_class_and_place_but_not_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    try:
        raise NotFound("no Patient with birthdate 1974-12-25", id="read-not-found")
    except NotFound:
        logs.logger("clarity.test").error("request failed", exc_info=True)
    (line,) = lines(capsys)
    assert (line["error"], line["error_id"]) == ("NotFound", "read-not-found")
    assert "test_logs.py" in str(line["raised_at"])
    assert "1974" not in json.dumps(line)


def test_a_library_line_keeps_its_template_only(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    logging.getLogger("some.library").warning("bad value %s", "Chalmers")
    logging.getLogger("uvicorn.error").info("listening on %s", "port 8000")
    first, second = lines(capsys)
    assert first["event"] == "bad value %s"
    assert second["event"] == "listening on port 8000"


def test_without_sanitizing_all_fields_stay(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(sanitize=False)
    logs.logger("clarity.test").info("read", family="Chalmers")
    assert lines(capsys)[0]["family"] == "Chalmers"


def test_a_process_that_configured_nothing_prints_no_values_either() -> None:
    program = """
from fhir_server.kit import logs
def fail():
    person = "Quillfeather"
    raise ValueError(f"no such name: {person}")
try:
    fail()
except ValueError:
    logs.logger("x").error("it failed", exc_info=True, name_of_patient="Quillfeather", code="c")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "it failed" in done.stderr
    assert "ValueError" in done.stderr
    assert "Quillfeather" not in done.stdout + done.stderr
