/** The bar at the top of every app, and the page that explains a problem. */
import { html, type TemplateResult } from "lit";

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
    <div class="row"><button class="go" id="again" @click=${act}>${label}</button></div>
  </main>`;
}
