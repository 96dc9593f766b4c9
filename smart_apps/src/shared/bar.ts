/** The bar at the top of every app, and the page that explains a problem. */
import { html, type TemplateResult } from "lit";
import { live } from "lit/directives/live.js";

import { language, speak, t } from "./language";
import { type Problem, explained } from "./problems";
import { turn } from "./theme";

export function bar(name: string, ...more: unknown[]): TemplateResult {
  return html`<header class="bar">
    <p class="brand">Clarity <span>${name}</span></p>
    <div class="row">
      ${more}
      <button class="quiet-button" @click=${() => speak(language === "de" ? "en" : "de")}>${t("other-language")}</button>
      <button class="quiet-button" @click=${turn} aria-label=${t("theme")} title=${t("theme")}>◐</button>
    </div>
  </header>`;
}

/** What happened, why, what to do, and the button that does it. */
export function problemPage(problem: Problem, label: string, act: () => void): TemplateResult {
  const { title, why, advice } = explained(problem);
  const shown = why.includes(problem.detail) ? "" : problem.detail;
  return html`<main class="card problem" data-problem=${problem.kind}>
    <h1>${title}</h1>
    <p>${why}</p>
    <p>${advice}</p>
    ${shown ? html`<details><summary>${t("details")}</summary><pre>${shown}</pre></details>` : ""}
    <div class="row"><button class="go" id="again" .disabled=${live(false)} @click=${(event: MouseEvent) => once(event.currentTarget as HTMLButtonElement, act)}>${label}</button></div>
  </main>`;
}

/**
 * Acts on the first of several clicks: with a slow network the page that is being left stays for a second. What fails is drawn anew, with
 * a button that can be pressed; so is a page that somebody comes back to, and in a frame the page stays while a window asks.
 */
function once(button: HTMLButtonElement, act: () => void): void {
  button.disabled = window.self === window.top;
  addEventListener("pageshow", () => (button.disabled = false), { once: true });
  act();
}
