"""One chat completion, streamed, tried again where that helps; the `openai` package speaks the protocol.

Waits between tries grow (with chance, so that workers do not march in step) and obey Retry-After up to a minute; an endpoint that
asks for more is Busy. An answer that has begun and breaks is asked for anew: there is no way to go on in the middle.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any, Final

from fhir_server.kit.logs import logger
from workers.gateway.breaker import breaker_of
from workers.gateway.endpoint import Endpoint
from workers.gateway.errors import Busy, Garbled, GatewayError, Redirected, Refused
from workers.gateway.task import Progress

if TYPE_CHECKING:  # the package takes half a second and 40 MB: only who asks a model loads it
    from openai import APIStatusError, AsyncOpenAI

PATIENCE: Final = 60.0
"""Seconds that a Retry-After may ask for; more is given back to the caller."""
FIRST_WAIT: Final = 0.5
_LETTERS_A_TOKEN: Final = 12
"""An answer longer than this for each token that was allowed never ends by itself."""
_WHOLE: Final = 5
"""An answer may take so many times the timeout altogether."""

_log = logger(__name__)


@dataclass(frozen=True, slots=True)
class Question:
    """What goes over the wire."""

    model: str
    messages: tuple[Mapping[str, str], ...]
    schema: Mapping[str, Any]
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, as it came; token counts are None where the endpoint tells none."""

    text: str
    prompt_tokens: int | None
    completion_tokens: int | None


class _Away(Exception):
    """This try failed in a way that another may not; `after` is what the endpoint asks to wait."""

    def __init__(self, text: str, why: str, after: float | None = None) -> None:
        super().__init__(text)
        self.why, self.after = why, after


async def complete(endpoint: Endpoint, question: Question, progress: Progress | None = None) -> Reply:
    """Return the model's text; Busy, Refused or Garbled when there is none."""
    breaker = breaker_of(endpoint.base_url)
    breaker.enter()
    try:
        reply = await _tries(endpoint, question, progress)
    except Busy:
        breaker.failed()
        raise
    except BaseException:
        breaker.left()
        raise
    breaker.succeeded()
    return reply


async def _tries(endpoint: Endpoint, question: Question, progress: Progress | None) -> Reply:
    from openai import AsyncOpenAI, DefaultAsyncHttpxClient

    shaped = True
    # of its own, for the package's follows redirects: the prompt would go where nobody has looked whether it may
    http = DefaultAsyncHttpxClient(follow_redirects=False, timeout=endpoint.timeout)
    async with AsyncOpenAI(
        api_key=endpoint.key, base_url=endpoint.base_url, timeout=endpoint.timeout, max_retries=0, http_client=http
    ) as client:
        attempt = 0
        while True:
            attempt += 1
            try:
                async with asyncio.timeout(endpoint.timeout * _WHOLE):
                    return await _once(client, question, progress, shaped=shaped)
            except _Unshaped:
                shaped, attempt = (
                    False,
                    attempt - 1,
                )  # an endpoint that knows no response_format is told the schema in words only
            except (_Away, TimeoutError) as error:
                await _wait(error, attempt, endpoint.tries)


async def _wait(error: Exception, attempt: int, tries: int) -> None:
    """Wait before the next try; Busy when there is none."""
    after = error.after if isinstance(error, _Away) else None
    text = str(error) or "The language model did not finish in time."
    if attempt >= tries or (after or 0) > PATIENCE:
        raise Busy(text, after or 0.0, error.why if isinstance(error, _Away) else "slow")
    _log.info("language model busy", attempt=attempt)
    grown = FIRST_WAIT * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)  # noqa: S311  spreads calls, hides nothing
    await asyncio.sleep(max(after or 0.0, grown))


class _Unshaped(Exception):
    """The endpoint does not know `response_format`."""


async def _once(client: AsyncOpenAI, question: Question, progress: Progress | None, *, shaped: bool) -> Reply:
    import openai

    try:
        return await _streamed(client, question, progress, shaped=shaped)
    except openai.APIStatusError as error:
        raise _judged(error, shaped=shaped) from None
    except openai.APIResponseValidationError:
        raise Garbled("The language model's endpoint does not speak the OpenAI protocol.", "foreign") from None
    except openai.APITimeoutError:
        raise _Away("The language model is silent for too long.", "slow") from None
    except (openai.APIConnectionError, ConnectionError) as error:
        raise _Away(f"The language model cannot be reached ({type(error).__name__}).", "away") from None
    except openai.APIError:  # an `error` event in the middle of a stream
        raise _Away("The language model broke off in the middle of its answer.", "broken") from None
    except (JSONDecodeError, UnicodeDecodeError, TypeError, AttributeError, KeyError, ValueError) as error:
        # what the package makes of an event that is none
        raise Garbled(
            f"The language model's endpoint sent what is no event ({type(error).__name__}).", "foreign"
        ) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "httpcore2", "h11"):
            why = "slow" if "Timeout" in type(error).__name__ else "broken"
            raise _Away(f"The connection to the language model broke ({type(error).__name__}).", why) from None
        raise


async def _streamed(client: AsyncOpenAI, question: Question, progress: Progress | None, *, shaped: bool) -> Reply:
    more: dict[str, Any] = {}
    if shaped:
        form = {"name": "answer", "schema": dict(question.schema), "strict": False}
        more["response_format"] = {"type": "json_schema", "json_schema": form}
    create: Any = client.chat.completions.create  # its overloads know no dict for what is a typed dict
    stream = await create(
        model=question.model,
        messages=[dict(message) for message in question.messages],
        max_tokens=question.max_tokens,
        temperature=0,
        stream=True,
        stream_options={"include_usage": True},
        **more,
    )
    try:
        kind = str(stream.response.headers.get("content-type", ""))
        return await _gathered(
            stream, question.max_tokens * _LETTERS_A_TOKEN, progress, is_stream="event-stream" in kind
        )
    finally:
        await stream.close()  # cancelled too: the endpoint hears that nobody listens any more


async def _gathered(stream: AsyncIterator[Any], most: int, progress: Progress | None, *, is_stream: bool) -> Reply:
    pieces: list[str] = []
    size, ended, usage = 0, None, None
    async for event in stream:
        usage = getattr(event, "usage", None) or usage
        for choice in event.choices or ():
            ended = choice.finish_reason or ended
            if piece := choice.delta.content:
                pieces.append(piece)
                size += len(piece)
        if size > most:
            raise Garbled("The language model's answer has no end.", "endless")
        if progress is not None:
            await progress(size)
    if ended == "content_filter":
        raise Refused("The endpoint's content filter keeps the answer back.")
    if ended == "length":
        raise Garbled("The language model's answer was cut off at its limit of tokens.", "cut-off")
    if ended is None and not pieces and not is_stream:
        raise Garbled(
            "The language model's endpoint answers a page or document where events were asked for.", "foreign"
        )
    if ended is None:
        raise _Away("The language model broke off in the middle of its answer.", "broken")
    return Reply("".join(pieces), usage and usage.prompt_tokens, usage and usage.completion_tokens)


def _judged(error: APIStatusError, *, shaped: bool) -> Exception:
    """Return what a status means: whether another try may help, and when."""
    status = error.status_code
    words = f"The language model's endpoint answers {status}"
    if 300 <= status < 400:
        return Redirected(
            f"{words}: redirects are never followed. Set OPENAI_BASE_URL to where it leads, if that is meant."
        )
    if status == 400 and shaped and "response_format" in str(error.message):
        return _Unshaped()
    if status == 429 and error.code == "insufficient_quota":
        return Refused(f"{words}: the account has no quota left.")
    if status in (408, 409, 429) or status >= 500:
        why = "overrun" if status == 429 else "slow" if status in (408, 504) else "faulty"
        return _Away(f"{words}.", why, _retry_after(error.response.headers))
    return _refusal(status, words)


def _refusal(status: int, words: str) -> GatewayError:
    hints = {
        401: "OPENAI_API_KEY is not accepted",
        403: "the key may not do this",
        404: "OPENAI_BASE_URL or the model is unknown",
    }
    return Refused(f"{words}: {hints.get(status, 'it does not accept the request')}.")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    for name, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        try:
            return max(0.0, float(headers[name]) / unit)
        except (KeyError, ValueError):
            continue
    return None
