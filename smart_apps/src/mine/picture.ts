/** A feature day by day as a small picture: the own usual as a band, a dot for each day; the same as a table beside it. */
import { html, nothing, svg, type TemplateResult } from "lit";

import { day, t } from "../shared/language";
import type { Change } from "../twin/change";
import type { Day } from "../twin/data";
import type { Shown } from "../twin/features";
import { heading, told } from "./words";

const [WIDTH, HEIGHT, EDGE] = [280, 84, 10];

interface Point {
  date: string;
  value: number | null;
  text: string;
}

/** Draws the days of one feature. */
export function picture(change: Change, days: Day[]): TemplateResult {
  const { feature } = change;
  const points = days.map((each): Point => {
    const value = each.values.get(feature.code)?.value ?? null;
    return { date: each.date, value: value === null ? null : turned(feature, value), text: value === null ? t("mine.picture.none") : told(feature, value) };
  });
  const text = points.map((each) => `${day(each.date, "axis")} ${each.text}`).join("; ");
  return html`<svg class="picture" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label=${t("mine.picture", { name: heading(change), days: text })}>${marks(points, usual(feature, days))}</svg>
    <details><summary class="soft">${t("mine.table")}</summary>
      <table><thead><tr><th scope="col">${t("mine.day")}</th><th scope="col">${t("mine.value")}</th></tr></thead>
        <tbody>${points.map((each) => html`<tr><th scope="row">${day(each.date, "long")}</th><td class=${each.value === null ? "soft" : ""}>${each.text}</td></tr>`)}</tbody></table>
    </details>`;
}

/** Hours are turned about noon, so that a night lies on one side. */
function turned(feature: Shown, value: number): number {
  return feature.circular && value >= 12 ? value - 24 : value;
}

/** The newest of the person's own ranges. */
function usual(feature: Shown, days: Day[]): [number, number] | null {
  for (const each of [...days].reverse()) {
    const value = each.values.get(feature.code);
    if (value?.low == null || value.high == null) continue;
    // a range about a clock time moves as a whole, so that it is not torn at noon
    const low = turned(feature, value.low);
    return [low, low + value.high - value.low];
  }
  return null;
}

function marks(points: Point[], band: [number, number] | null): unknown {
  const values = [...points.map((each) => each.value), ...(band ?? [])].filter((value) => value !== null);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const y = (value: number): number => (high > low ? HEIGHT - EDGE - ((value - low) / (high - low)) * (HEIGHT - 2 * EDGE) : HEIGHT / 2);
  const x = (at: number): number => EDGE + ((at + 0.5) * (WIDTH - 2 * EDGE)) / points.length;
  return svg`${band ? svg`<rect class="usual" x="0" width=${WIDTH} y=${y(band[1])} height=${Math.max(2, y(band[0]) - y(band[1]))}></rect>` : nothing}
    ${points.map((each, at) => (each.value === null ? svg`<line class="gap" x1=${x(at)} x2=${x(at)} y1=${HEIGHT - 14} y2=${HEIGHT - 4}></line>` : svg`<circle class="dot" cx=${x(at)} cy=${y(each.value)} r="5"></circle>`))}`;
}
