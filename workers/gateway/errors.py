"""Why no answer came, as types; no text holds a word of the patient's, of the model's, or of the key."""

from __future__ import annotations


class GatewayError(Exception):
    """The model gave no answer that may be used; callers go on without one."""

    code = "failed"
    """What the local log keeps of it."""

    def __init__(self, text: str, why: str = "") -> None:
        super().__init__(text)
        self.why = why or self.code
        """What kind of failure within the code, for whoever reads the note and the trail: `slow`, `overrun`, `html`, ..."""


class NotConfigured(GatewayError):
    """No endpoint is set, or no model for the role: nothing was sent."""

    code = "not-configured"


class Withheld(GatewayError):
    """Labels, Consents or a missing resource keep every source in: nothing was sent."""

    code = "withheld"


class OverBudget(GatewayError):
    """The call, or the day's calls so far, would take more tokens than the settings allow: nothing was sent."""

    code = "over-budget"


class Refused(GatewayError):
    """The endpoint will not do it however often it is asked: bad key, unknown model, content filter, a request too long."""

    code = "refused"


class Redirected(Refused):
    """The endpoint answers with a redirect, which is never followed: OPENAI_BASE_URL is set anew if that is meant."""

    code = "redirected"


class Busy(GatewayError):
    """The endpoint is away, slow or overrun, also after all tries; or the circuit is open. `after` is when to ask again."""

    code = "busy"

    def __init__(self, text: str, after: float = 0.0, why: str = "") -> None:
        super().__init__(text, why)
        self.after = after
        """Seconds until asking again makes sense, as far as known."""


class Garbled(GatewayError):
    """What came back is not what was asked for: no JSON, another shape, citations or pseudonyms that were never given."""

    code = "garbled"
