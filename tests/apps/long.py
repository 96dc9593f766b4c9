"""A patient with five years of days, and how smooth the twin stays with them: `python -m tests.apps.long DATA`.

DATA is the data folder of an instance that runs; the patient is put there when it is not (minutes of work for its workers).
Printed are what `$timeline` takes over all days, and of each thing that a reader does with the axis: from the press to the frame
that shows it, tasks that hold the page up for more than 50 ms, and the longest time between two frames.
"""

from __future__ import annotations

import statistics
import sys
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Page, sync_playwright

from fhir_server.kit import clock
from fhir_server.kit import json as kit_json
from tests.apps.conftest import Instance, chromium, open_twin, over
from workers.demo.clinic import record
from workers.demo.generate import bundle, wearables
from workers.demo.people import patient, person
from workers.demo.questionnaires import answered
from workers.demo.wearables import devices

DAYS = 1826
NUMBER = 900
PATIENT = f"demo-{NUMBER}"
JSON = {"Content-Type": "application/fhir+json"}
ROUNDS = 5
TIMELINES = (
    ("all of it", ""),
    ("what the axis asks for", "&resolution=week&include=feature,stream&series=sleep-duration,sleep-midpoint,steps"),
)
_WATCH = """() => {
  window.tasks = []; window.gaps = []; let before = performance.now();
  new PerformanceObserver(list => window.tasks.push(...list.getEntries().map(each => each.duration))).observe({type: "longtask"});
  const frame = now => { window.gaps.push(now - before); before = now; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
}"""
_DO = """async act => {
  window.tasks.length = 0; window.gaps.length = 0;
  const span = () => document.querySelector("#span").textContent + document.querySelector(".lanes").getAttribute("aria-valuetext");
  const [was, began] = [span(), performance.now()];
  act.key ? document.querySelector(".lanes").dispatchEvent(new KeyboardEvent("keydown", {key: act.key, bubbles: true}))
    : act.value ? Object.assign(document.querySelector("#range"), {value: act.value}).dispatchEvent(new Event("change"))
    : document.querySelector(act.button).click();
  const frame = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  while (span() === was) await frame();
  const shown = performance.now() - began;
  for (let left = 10; left; left -= 1) await frame();
  return [shown, window.tasks.length, Math.max(0, ...window.tasks), Math.max(...window.gaps)];
}"""
ACTS: tuple[tuple[str, dict[str, str]], ...] = (
    ("to 5 years", {"value": "1826"}),
    ("a week back", {"key": "ArrowLeft"}),
    ("nearer", {"key": "+"}),
    ("earlier", {"button": "#earlier"}),
    ("to 365 days", {"value": "365"}),
    ("earlier", {"button": "#earlier"}),
    ("earlier", {"button": "#earlier"}),
    ("later", {"button": "#later"}),
    ("to 90 days", {"value": "90"}),
)


def put(instance: Instance, end: date, days: int = DAYS) -> None:
    """Put the patient on the server and wait until the twin knows the last day."""
    who = person(2, NUMBER, days, end)
    base, limit = f"{instance.origin}/fhir", httpx.Timeout(300)
    with httpx.Client(base_url=base, headers=instance.headers | JSON, timeout=limit) as client:
        for some in [bundle([patient(who), *devices(who), *record(who), *answered(who)]), *wearables(who)]:
            answer = client.post("", content=kit_json.encode(some))
            assert answer.status_code == 200, answer.text[:500]
        until = time.monotonic() + 1200
        while client.get(f"/Patient/{PATIENT}/$twin", params={"wait": "30"}).status_code != 200:
            assert time.monotonic() < until, "the twin was not computed in time"


def timelines(instance: Instance) -> None:
    """Print what the operation takes."""
    start = clock.now().date() - timedelta(days=DAYS)
    with httpx.Client(headers=instance.headers, timeout=60) as client:
        for name, query in TIMELINES:
            took = []
            for _ in range(ROUNDS):
                began = time.monotonic()
                answer = client.get(f"{instance.origin}/fhir/Patient/{PATIENT}/$timeline?start={start}{query}")
                took.append((time.monotonic() - began) * 1e3)
            size = len(answer.content) / 1e3
            print(f"$timeline, 5 years, {name}: median {statistics.median(took):.0f} ms, {size:.0f} kB")


def walk(page: Page) -> None:
    """Do what a reader does, and print how it went."""
    page.evaluate(_WATCH)
    for name, act in ACTS:
        shown, tasks, longest, gap = page.evaluate(_DO, act)
        print(
            f"{name:12} shown after {shown:4.0f} ms, long tasks {tasks} (longest {longest:.0f} ms), longest frame {gap:.0f} ms"
        )


def main() -> None:
    instance = over(Path(sys.argv[1]))
    there: dict[str, Any] = instance.get(f"Patient?_id={PATIENT}&_summary=count")
    if not there["total"]:
        put(instance, clock.now().date() - timedelta(days=1))
    timelines(instance)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        page = browser.new_context(base_url=instance.origin, viewport={"width": 1440, "height": 900}).new_page()
        open_twin(page, instance, PATIENT)
        walk(page)
        browser.close()


if __name__ == "__main__":
    main()
