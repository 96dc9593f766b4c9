"""The frame: what its style promises to eyes, and that style and script are what the policy allows."""

from __future__ import annotations

import re
from base64 import b64encode
from hashlib import sha256
from itertools import product

import pytest

from fhir_server.http.browse import shell
from fhir_server.http.browse.visit import Visit
from tests.http.browse.inert import assert_inert

LIGHT, DARK = (
    dict(re.findall(r"--(\w+):(#[0-9a-f]{3,6})", block)) for block in re.findall(r":root\{([^}]*)\}", shell._STYLE)
)
TEXT, GROUND = ("fg", "dim", "link", "str", "num", "key", "bad", "warn"), ("bg", "card", "mark")


def luminance(color: str) -> float:
    digits = color[1:] if len(color) == 7 else "".join(each * 2 for each in color[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize(("theme", "pair"), [*product((LIGHT, DARK), product(TEXT, GROUND))])
def test_contrast_is_aa(theme: dict[str, str], pair: tuple[str, str]) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1 for text on everything that it can stand on."""
    light, dark = sorted((luminance(theme[name]) for name in pair), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_the_policy_allows_this_style_and_this_script() -> None:
    page = shell.page(Visit("http://clarity.test/fhir", signed_in=True), "x", "y")
    root = assert_inert(page)
    policy = dict(shell.HEADERS)[b"content-security-policy"].decode()
    for element in (root.find(".//style"), root.find(".//script")):
        digest = b64encode(sha256(element.text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    assert len(page) < 12_000
    assert root.get("lang") == "en"
    assert root.find(".//a[@class='skip']").get("href") == f"#{root.find('.//main').get('id')}"


def test_the_script_makes_no_markup() -> None:
    """It only copies text, folds and switches fields off: no way from text to elements."""
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacent|document\.write|eval|Function|fetch|XMLHttp|import", shell._SCRIPT
    )
