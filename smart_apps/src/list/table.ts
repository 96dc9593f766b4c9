/** The rows: a table whose first column holds the buttons, of which one is a stop of the Tab key and arrows move to the others. */
import { html, nothing, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";

import { day, named, number, signed, t } from "../shared/language";
import { title } from "../twin/features";
import { type Deviation, type Row, RECENT } from "./data";

const MOST = 3;
const PAGE = 10;

/** Draws the rows; `current` is the patient whose button the Tab key stops at. */
export function table(rows: Row[], current: string, open: (row: Row) => void, moved: (patient: string) => void): TemplateResult {
  return html`<div class="card rows"><table @keydown=${walk}>
    <caption class="hidden">${t("list.title")}</caption>
    <thead><tr>
      <th scope="col">${t("list.patient")}</th><th scope="col">${t("list.changed")}</th>
      <th scope="col">${t("list.open")}</th><th scope="col">${t("list.missing", { days: RECENT })}</th>
    </tr></thead>
    <tbody>${repeat(rows, (row) => row.patient, (row) => one(row, row.patient === current, open, moved))}</tbody>
  </table></div>`;
}

function one(row: Row, current: boolean, open: (row: Row) => void, moved: (patient: string) => void): TemplateResult {
  return html`<tr data-state=${row.state} data-changed=${row.changed} class=${row.changed ? "changed" : ""}>
    <th scope="row">
      <button class="link" data-patient=${row.patient} tabindex=${current ? 0 : -1} @focus=${() => moved(row.patient)} @click=${() => open(row)}>${row.name}</button>
      <span class="soft">${[row.birth ? day(row.birth) : "", row.number, row.deceased ? t("list.deceased") : ""].filter(Boolean).join(" · ")}</span>
    </th>
    <td>${row.deviations.length ? html`<ul>${row.deviations.slice(0, MOST).map(deviation)}</ul>` : html`<span class="soft">${row.state === "there" ? t("list.steady") : "–"}</span>`}</td>
    <td>${assessments(row)}</td>
    <td>${missing(row)}</td>
  </tr>`;
}

function deviation(each: Deviation): TemplateResult {
  const up = each.value.direction === "above";
  const { z, zLow, zHigh } = each.value;
  return html`<li data-feature=${each.feature}>
    <span class="arrow" aria-hidden="true">${up ? "▲" : "▼"}</span> <strong>${named("feature", each.feature, t(title(each.feature)))}</strong>
    <span class="hidden">${t(up ? "list.above" : "list.below")}</span>
    <span class="soft">${z === null || zLow === null || zHigh === null ? day(each.date, "axis") : t("list.z", { date: day(each.date, "axis"), z: signed(z, 1), low: signed(zLow, 1), high: signed(zHigh, 1) })}</span>
  </li>`;
}

function assessments(row: Row): TemplateResult {
  const [first, ...more] = row.assessments ?? [];
  if (!first) return html`<span class="soft">${row.assessments ? t("list.risk.none") : "–"}</span>`;
  return html`${t("list.risk.one", { date: day(first.date, "axis"), text: first.text })}
    ${more.length ? html`<span class="soft">${t("list.risk.more", { count: more.length })}</span>` : nothing}`;
}

function missing(row: Row): TemplateResult {
  if (row.state === "none") return html`<span class="gap">${t("list.state.none")}</span>`;
  if (row.state === "silent") return html`<span class="gap">${t("list.state.silent", { days: RECENT })}</span>`;
  const lines = row.thin.map(([stream, part]) => t("list.stream", { stream: named("stream", stream, stream), percent: number(part * 100) }));
  if (row.absent) lines.unshift(t(row.absent === 1 ? "list.day" : "list.days", { count: row.absent, date: day(row.newest ?? "", "axis") }));
  return lines.length ? html`<ul class="gap">${lines.map((line) => html`<li>${line}</li>`)}</ul>` : html`<span class="soft">${t("list.complete")}</span>`;
}

const STEPS: Record<string, number> = { ArrowDown: 1, ArrowUp: -1, PageDown: PAGE, PageUp: -PAGE, Home: -Infinity, End: Infinity };

function walk(event: KeyboardEvent): void {
  const step = STEPS[event.key];
  if (step === undefined) return;
  const buttons = [...(event.currentTarget as HTMLElement).querySelectorAll<HTMLElement>("button[data-patient]")];
  const at = buttons.indexOf(event.target as HTMLElement);
  if (at < 0) return;
  event.preventDefault();
  const next = buttons[Math.min(buttons.length - 1, Math.max(0, at + step))];
  next?.focus();
  next?.closest("tr")?.scrollIntoView({ block: "nearest" });
}
