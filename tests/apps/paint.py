"""How long the twin takes: `python -m tests.apps.paint DATA`, over the data folder of an instance that runs.

First meaningful paint is from the beginning of a reload (the session is there) until cards and axis stand, whole until alerts
and models stand as well; a key is from the press of an arrow until the day that it moved to is painted.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.apps.conftest import chromium, open_twin, over

TIMES = 9
_READY = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))"
_KEY = """() => new Promise(done => {
  const began = performance.now();
  document.querySelector('.lanes').dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowLeft', bubbles: true}));
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - began)));
})"""


def paints(page: Page) -> list[tuple[float, float]]:
    """Return the milliseconds of each reload, until it is painted and until it is whole."""
    found = []
    for _ in range(TIMES):
        page.reload(wait_until="commit")
        both = []
        for state in ("painted", "ready"):
            page.wait_for_selector(f"#app[data-{state}]")
            both.append(page.evaluate(_READY))
        found.append((both[0], both[1]))
    return found


def main() -> None:
    instance = over(Path(sys.argv[1]))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_context(base_url=instance.origin, viewport={"width": 1440, "height": 900}).new_page()
        open_twin(page, instance)
        painted = paints(page)
        keys = [page.evaluate(_KEY) for _ in range(30)]
        browser.close()
    for name, times in zip(("first meaningful paint", "whole"), zip(*painted, strict=True), strict=True):
        print(f"{name}: median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms")
    print(f"a key: median {statistics.median(keys):.0f} ms, worst {max(keys):.0f} ms")


if __name__ == "__main__":
    main()
