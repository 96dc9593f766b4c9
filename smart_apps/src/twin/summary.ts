/** The thirty seconds: what changed, how sure, what is missing, what is open. */
import { html, nothing, type TemplateResult } from "lit";

import { day, named, number, signed, t } from "../shared/language";
import type { Source } from "../shared/sources";
import { type Change, change } from "./change";
import { type Day, type Record_, type Score, between, shift } from "./data";
import { FEATURES, difference, said, title } from "./features";

export interface Period {
  now: Day[];
  before: Day[];
  /** The day after which it begins. */
  since: string;
  heading: string;
  why: string;
}

/** The visit, so many days, or two periods that the reader chose. */
export type Choice = "visit" | "two" | number;

const SOONEST = 5;
const FALLBACK = 14;
const BEFORE = 28;
const STALE = 3;

/** The two periods that are compared: since the last visit and the four weeks before it, or the last days and those before them. */
export function period(record: Record_, choice: Choice, today: string): Period {
  const visit = record.visits.filter((each) => each.date < today).at(-1);
  const ago = visit ? between(visit.date, today) : null;
  if (choice === "visit" && visit && ago !== null && ago >= SOONEST) {
    return cut(record, visit.date, BEFORE, t("since.visit"), t("since.visit.on", { date: day(visit.date), days: ago }));
  }
  const window = typeof choice === "number" ? choice : FALLBACK;
  const why =
    choice !== "visit" || !visit || ago === null
      ? choice === "visit" ? t("since.none.why", { days: window }) : t("since.period.days", { days: window })
      : t("since.soon.why", { days: ago, window });
  return cut(record, shift(today, -window - 1), Math.max(window, BEFORE), t("since.none"), why);
}

function cut(record: Record_, since: string, before: number, heading: string, why: string): Period {
  const from = shift(since, -before);
  return {
    now: record.days.filter((each) => each.date > since),
    before: record.days.filter((each) => each.date > from && each.date <= since),
    since, heading, why,
  };
}

/** What moved, the clearest first; what a clinician looks at first stands there in any case. */
export function changes(compared: Period): Change[] {
  const order = { strong: 0, some: 1, steady: 2, few: 3 };
  return FEATURES.map((feature) => change(feature, compared.now, compared.before))
    .filter((each) => (each.measured || each.before !== null) && (each.feature.first || each.weight === "strong" || each.weight === "some"))
    .sort((one, other) => order[one.weight] - order[other.weight] || other.size - one.size)
    .slice(0, 6);
}

type Show = (source: Source) => void;

export function cards(found: Change[], record: Record_, show: Show): TemplateResult {
  const quiet = found.every((each) => each.weight === "steady" || each.weight === "few");
  return html`${quiet ? html`<p class="quiet">${t("change.none")}</p>` : nothing}
    <ul class="cards">${found.map((each) => card(each, show))}${scoreCards(record, show)}</ul>`;
}

function card(each: Change, show: Show): TemplateResult {
  const { feature } = each;
  const name = t(title(feature.code));
  const up = (each.shift ?? 0) > 0;
  const moves = each.weight === "strong" || each.weight === "some";
  const interval =
    each.low !== null && each.high !== null
      ? t("change.interval", { low: difference(feature, each.low), high: difference(feature, each.high) })
      : t("change.few");
  const source: Source = {
    title: name,
    items: each.used.map((one) => ({
      reference: one.reference,
      text: `${day(one.date, "long")}: ${said(feature, one.values.get(feature.code)?.value ?? 0)}`,
    })),
  };
  return html`<li class=${`change ${each.weight}`} data-feature=${feature.code} data-shift=${each.shift ?? ""} data-low=${each.low ?? ""} data-high=${each.high ?? ""}>
    <h3>${name}${moves ? html` <span class="tag">${t(each.weight === "strong" ? "change.strong" : "change.some")}</span>` : nothing}</h3>
    <p class="big">
      ${moves ? html`<span class="arrow" aria-hidden="true">${up ? "▲" : "▼"}</span>` : nothing}
      ${each.shift === null ? "–" : moves ? difference(feature, each.shift) : t("change.steady")}
    </p>
    <p class="soft">${interval}</p>
    <p>
      ${each.now === null ? nothing : html`<button class="link" aria-label=${t("change.sources", { name })} @click=${() => show(source)}>${t("change.now", { value: said(feature, each.now) })}</button>`}
      ${each.before === null ? nothing : html`<span class="soft"> · ${t("change.before", { value: said(feature, each.before) })}</span>`}
    </p>
    <p class="soft measured">${meter(each)} ${t("change.days", { measured: each.measured, days: each.days })}</p>
  </li>`;
}

function meter(each: Change): TemplateResult {
  const part = each.days ? each.measured / each.days : 0;
  return html`<svg class="meter" width="44" height="8" aria-hidden="true">
    <rect class="c0" width="44" height="8" rx="4" /><rect class="c3" width=${44 * part} height="8" rx="4" />
  </svg>`;
}

// ---- questionnaires ----

function scoreCards(record: Record_, show: Show): unknown {
  const kinds = (["phq9", "gad7"] as const).map((kind) => record.scores.filter((score) => score.kind === kind));
  return kinds.filter((each) => each.length).map((each) => scoreCard(each, show));
}

function scoreCard(all: Score[], show: Show): TemplateResult | typeof nothing {
  const last = all.at(-1);
  const earlier = all.at(-2);
  if (!last) return nothing;
  const name = t(title(last.kind));
  const by = earlier ? last.value - earlier.value : 0;
  return html`<li class=${Math.abs(by) >= 5 ? "change strong" : "change steady"}>
    <h3>${name}</h3>
    <p class="big">
      <button class="link plain" aria-label=${t("change.sources", { name })} @click=${() => show({ title: name, items: [{ reference: last.reference, text: "" }] })}>${number(last.value)}</button>
      ${earlier ? html`<span class="by">${by === 0 ? "±0" : signed(by)}</span>` : nothing}
    </p>
    <p class="soft">${earlier ? t("score.on", { date: day(last.date), earlier: `${number(earlier.value)}, ${day(earlier.date)}` }) : t("score.only", { date: day(last.date) })}</p>
  </li>`;
}

// ---- what is missing ----

export function missing(record: Record_, found: Change[], today: string): TemplateResult {
  const newest = record.days.filter((each) => each.coverage.size).at(-1)?.date;
  const stale = newest ? between(newest, today) : 0;
  const lines = found.filter((each) => each.missing.size);
  return html`<h2>${t("missing")}</h2>
    ${newest ? html`<p class=${stale > STALE ? "alarm" : "soft"}>${stale > STALE ? t("missing.stale", { date: day(newest), days: stale }) : t("missing.last", { date: day(newest) })}</p>` : nothing}
    ${lines.length
      ? html`<ul class="plain-list">
          ${lines.map((each) => {
            const count = [...each.missing.values()].reduce((sum, one) => sum + one, 0);
            const why = [...each.missing].sort((one, other) => other[1] - one[1]).map(([reason, days]) => `${named("reason", reason, reason)} (${days})`);
            return html`<li>${t("missing.line", { name: t(title(each.feature.code)), missing: count, days: each.days })} <span class="soft">${why.join(", ")}</span></li>`;
          })}
        </ul>`
      : html`<p class="soft">${t("missing.none")}</p>`}
    ${record.withheld.length ? html`<p class="alarm">${t("problem.partly", { what: [...new Set(record.withheld)].join(", ") })}</p>` : nothing}`;
}

// ---- assessments ----

export function risks(record: Record_, compared: Period, show: Show): TemplateResult {
  const recent = record.risks.filter((risk) => risk.date > compared.since);
  const older = record.risks.length - recent.length;
  return html`<h2>${t("risk")}</h2>
    ${recent.length
      ? html`<p class="soft">${t("risk.status")}</p>
          <ul class="plain-list risks">
            ${recent.slice(0, 4).map(
              (risk) => html`<li>
                <button class="link" aria-label=${t("risk.inputs", { date: day(risk.date) })} @click=${() => show({ title: day(risk.date), items: [{ reference: risk.reference, text: "" }] })}>${day(risk.date)}</button>
                ${risk.rationale || risk.text}
              </li>`,
            )}
            ${recent.length > 4 ? html`<li class="soft">+ ${recent.length - 4}</li>` : nothing}
          </ul>`
      : html`<p class="soft">${t("risk.none")}</p>`}
    ${older ? html`<button class="link soft" @click=${() => show({ title: t("risk"), items: record.risks.map((risk) => ({ reference: risk.reference, text: `${day(risk.date, "long")}: ${risk.text}` })) })}>${t("risk.older", { count: older })}</button>` : nothing}`;
}
