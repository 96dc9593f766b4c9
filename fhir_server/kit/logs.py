"""Logs as one JSON object a line, configured once, with nothing of a patient in them.

What a line may hold is an allow-list of keys; the text of an exception is left out (it may quote a value), its class
and the lines it went through are kept. Lines of libraries keep their template without the values that were to fill it.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Protocol, cast

import structlog

from fhir_server.errors import FhirError
from fhir_server.kit import clock

Event = MutableMapping[str, Any]

_FIELDS = """
    event level timestamp logger process request_id tenant client interaction type status milliseconds bytes count
    attempt job kind task worker queue lag rows version error error_id raised_at signal name code reason port
"""
ALLOWED = frozenset(_FIELDS.split())
_SPEAKS_PLAINLY = frozenset({"uvicorn", "uvicorn.error"})  # start and stop; their access log is switched off


class Logger(Protocol):
    """What a module gets from `logger`: an event in a few words, then fields of the allow-list."""

    def debug(self, event: str, **fields: Any) -> None:
        """Write what only someone who looks for a fault wants."""

    def info(self, event: str, **fields: Any) -> None:
        """Write what happened."""

    def warning(self, event: str, **fields: Any) -> None:
        """Write what may need somebody."""

    def error(self, event: str, **fields: Any) -> None:
        """Write what needs somebody; `exc_info=True` adds the class and place of the exception."""


def logger(name: str) -> Logger:
    """Return the logger of a module."""
    return cast("Logger", structlog.stdlib.get_logger(name))


def bind(**fields: Any) -> None:
    """Add fields, such as the request id, to every later line of this request or job."""
    structlog.contextvars.bind_contextvars(**fields)


def clear() -> None:
    """Forget what `bind` added."""
    structlog.contextvars.clear_contextvars()


def configure(level: str = "INFO", *, sanitize: bool = True, process: str = "", file: Path | None = None) -> None:
    """Write every line, of libraries too, as JSON; `sanitize` False keeps all fields, for a desk."""

    def name_process(_logger: Any, _method: str, event: Event) -> Event:
        if process:
            event["process"] = process
        return event

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        name_process,
        _stamp,
        _place_of_exception,
    ]
    if sanitize:
        shared.append(_only_allowed)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.FileHandler(file, encoding="utf-8") if file else logging.StreamHandler(sys.stderr)
    _route_libraries(handler, level, shared)


def _route_libraries(handler: logging.Handler, level: str, shared: list[Any]) -> None:
    handler.addFilter(_template_only)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers:
        if _template_only in old.filters:  # one of ours, from an earlier call: nobody else closes its file
            old.close()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "arq", "alembic"):
        library = logging.getLogger(name)
        library.handlers[:] = []
        library.propagate = name != "uvicorn.access"
    for name in ("httpx", "alembic"):  # every URL, every step
        logging.getLogger(name).setLevel(logging.WARNING)


def _template_only(record: logging.LogRecord) -> bool:
    ours = isinstance(record.msg, dict)
    if record.args and not ours and record.name not in _SPEAKS_PLAINLY:
        record.args = ()
    return True


def _stamp(_logger: Any, _method: str, event: Event) -> Event:
    event["timestamp"] = clock.instant(clock.now())
    return event


def _place_of_exception(_logger: Any, _method: str, event: Event) -> Event:
    """Replace an exception by its class, its stable id and the places it went through, innermost last."""
    given = event.pop("exc_info", None)
    error = sys.exc_info()[1] if given is True else given[1] if isinstance(given, tuple) else given
    if isinstance(error, BaseException):
        frames = traceback.extract_tb(error.__traceback__)[-12:]
        event["error"] = type(error).__name__
        event["raised_at"] = [f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames]
        if isinstance(error, FhirError):
            event["error_id"] = error.id
    return event


def _only_allowed(_logger: Any, _method: str, event: Event) -> Event:
    for key in [key for key in event if key not in ALLOWED and not key.startswith("_")]:
        del event[key]
    return event


# Until `configure` is called (commands that run in the foreground) structlog would print the local variables of an exception.
structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level, structlog.stdlib.add_log_level, _stamp, _place_of_exception, _only_allowed,
        structlog.processors.JSONRenderer(),
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    wrapper_class=structlog.stdlib.BoundLogger,
)  # fmt: skip
