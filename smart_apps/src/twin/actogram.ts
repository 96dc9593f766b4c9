/**
 * Activity as a double-plotted actogram: days down, each day and the next across, a bar for each hour of the wall clock, so that a
 * night stands in one piece and a rhythm that drifts is a slanted edge. Read from `$timeline` when it is opened, and not before.
 */
import type { Parameters } from "fhir/r4";
import { html, nothing, render, svg, type TemplateResult } from "lit";

import { get } from "../shared/fhir";
import { clock, day, t, type Word } from "../shared/language";
import { problemOf } from "../shared/problems";
import type { Session } from "../shared/session";
import { median } from "./change";
import { shift } from "./data";
import { part, rows } from "./timeline";

const DAYS = 28;
const HOURS = 24;
/** The stream that is drawn: the first of them that the patient has. */
const STREAMS = ["activity-counts", "steps"];
/** An hour of which less was measured is drawn as not measured. */
const ENOUGH = 0.5;
const [LEFT, TOP, ROW, HOUR] = [56, 16, 14, 14];

interface Row {
  date: string;
  /** Sum of each hour; null where too little of it was measured. */
  hours: (number | null)[];
}

interface Activity {
  stream: string;
  rows: Row[];
}

/** The section that folds; it reads when it is opened. */
export function actogram(session: Session, today: string): TemplateResult {
  return html`<details class="card acto" id="actogram" @toggle=${(event: Event) => void opened(event.target as HTMLDetailsElement, session, today)}>
    <summary><h2>${t("acto.title", { days: DAYS })}</h2></summary>
    <div class="acto-box"></div>
  </details>`;
}

async function opened(section: HTMLDetailsElement, session: Session, today: string): Promise<void> {
  const box = section.querySelector<HTMLElement>(".acto-box")!;
  if (!section.open || box.dataset["read"]) return;
  box.dataset["read"] = "yes";
  render(html`<p class="soft">${t("loading")}</p>`, box);
  try {
    const found = await read(session, today);
    render(found ? plot(found) : html`<p class="soft">${t("acto.none")}</p>`, box);
  } catch (error) {
    delete box.dataset["read"]; // folding and unfolding tries again
    render(html`<p class="bad" role="alert">${t("acto.failed", { text: problemOf(error).detail })}</p>`, box);
  }
}

// ---- reading ----

async function read(session: Session, today: string): Promise<Activity | null> {
  const start = shift(today, -DAYS);
  const query = `start=${start}&end=${shift(today, -1)}&resolution=hour&include=signal&series=${STREAMS.join(",")}`;
  const answer = await get<Parameters>(session.client, `Patient/${session.patient}/$timeline?${query}`);
  for (const stream of STREAMS) {
    const signal = answer.parameter?.find((each) => each.name === "signal" && part(each, "code")?.valueCode === stream);
    const totals = rows(signal, "total").map((row) => row[0] ?? null);
    if (!totals.some((value) => value !== null)) continue;
    const covered = rows(signal, "coverage").map((row) => row[0] ?? null);
    const at = (bucket: number): number | null => ((covered[bucket] ?? 0) < ENOUGH ? null : (totals[bucket] ?? null));
    return {
      stream,
      rows: Array.from({ length: DAYS }, (_, row) => ({
        date: shift(start, row), hours: Array.from({ length: HOURS }, (_, hour) => at(row * HOURS + hour)),
      })),
    };
  }
  return null;
}

// ---- drawing ----

function plot(found: Activity): TemplateResult {
  const { rows } = found;
  const known = rows.flatMap((row) => row.hours).filter((value) => value !== null).sort((one, other) => one - other);
  const most = known[Math.floor(known.length * 0.98)] || 1; // a single wild hour does not flatten the others
  const [width, height] = [LEFT + 2 * HOURS * HOUR + 4, TOP + rows.length * ROW + 4];
  const says = summary(found);
  return html`<p class="soft">${t("acto.help", { stream: t(`stream.${found.stream}` as Word) })} ${says}</p>
    <svg class="acto-plot" viewBox="0 0 ${width} ${height}" role="img" aria-label="${t("acto.title", { days: DAYS })}. ${says}" data-stream=${found.stream}>
      ${axis(height)}${rows.map((row, at) => line(row, rows[at + 1], at, most))}
    </svg>`;
}

/** The usual hours of most and least activity: medians over the days. */
function summary(found: Activity): string {
  const usual = Array.from({ length: HOURS }, (_, hour) => median(found.rows.map((row) => row.hours[hour] ?? null).filter((value) => value !== null)));
  const known = usual.filter((value) => value !== null);
  if (known.length < HOURS) return t("acto.partly");
  const [high, low] = [usual.indexOf(Math.max(...known)), quietest(known)];
  return t("acto.summary", { most: clock(high), from: clock(low), to: clock(low + QUIET) });
}

const QUIET = 5;

/** The hour at which the quietest five hours in a row begin. */
function quietest(usual: number[]): number {
  const sums = usual.map((_, hour) => Array.from({ length: QUIET }, (_, on) => usual[(hour + on) % HOURS] ?? 0).reduce((sum, value) => sum + value, 0));
  return sums.indexOf(Math.min(...sums));
}

function axis(height: number): unknown {
  return [0, 6, 12, 18, 24, 30, 36, 42, 48].map((hour) => {
    const x = LEFT + hour * HOUR;
    return svg`<line class=${hour % HOURS ? "acto-grid" : "acto-grid midnight"} x1=${x} x2=${x} y1=${TOP} y2=${height}></line>
      <text class="acto-text" x=${x} y=${TOP - 4} text-anchor=${hour === 48 ? "end" : "middle"}>${clock(hour)}</text>`;
  });
}

function line(row: Row, next: Row | undefined, at: number, most: number): unknown {
  const sum = row.hours.reduce<number>((all, value) => all + (value ?? 0), 0);
  return svg`<g class="acto-row" data-date=${row.date} data-sum=${sum} transform="translate(${LEFT} ${TOP + at * ROW})">
    ${at % 7 ? nothing : svg`<text class="acto-text" x="-6" y=${ROW - 3} text-anchor="end">${day(row.date, "axis")}</text>`}
    ${half(row, most)}
    ${next ? svg`<g transform="translate(${HOURS * HOUR} 0)">${half(next, most)}</g>` : nothing}
  </g>`;
}

/** A day of a row: bars, and a line where nothing was measured. */
function half(row: Row, most: number): unknown {
  let [bars, gaps] = ["", ""];
  row.hours.forEach((value, hour) => {
    const x = hour * HOUR;
    if (value === null) gaps += `M${x} ${ROW / 2}h${HOUR}`;
    else if (value > 0) {
      const tall = Math.round(Math.min(1, value / most) * (ROW - 1) * 10) / 10;
      bars += `M${x} ${ROW}v${-tall}h${HOUR - 0.5}v${tall}z`;
    }
  });
  return svg`<path class="acto-bar" d=${bars}></path>${gaps ? svg`<path class="acto-gap" d=${gaps}></path>` : nothing}`;
}
