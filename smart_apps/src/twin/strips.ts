/** The lanes of the time axis that are boxes: medication, visits, and how much of each stream was measured on each day. */
import { html, nothing, svg, type TemplateResult } from "lit";

import { day, named, number, t } from "../shared/language";
import { type Day, type Span, type Visit, between } from "./data";
import { LEFT, RIGHT } from "./lanes";

const ROW = 24;
const CELL = 13;

export interface Axis {
  days: Day[];
  width: number;
  open: (reference: string, title: string) => void;
}

/** Where a day begins, in pixels from the left of the lane; days outside are cut to the edges. */
function at(axis: Axis, date: string): number {
  const span = axis.width - LEFT - RIGHT;
  const [index, all] = [between(axis.days[0]?.date ?? date, date), length(axis)];
  return LEFT + (span * Math.min(Math.max(index, 0), all)) / Math.max(all, 1);
}

/** Days from the first to the last of the axis. */
function length(axis: Axis): number {
  const last = axis.days.at(-1);
  return axis.days[0] && last ? between(axis.days[0].date, last.until) + 1 : 0;
}

/** One bar a medicine; what began before the first day or goes on has an open end. */
export function medication(axis: Axis, spans: Span[]): TemplateResult {
  const first = axis.days[0]?.date ?? "";
  const last = axis.days.at(-1)?.until ?? "";
  const shown = spans.filter((span) => span.start <= last && (span.end ?? last) >= first);
  if (!shown.length) return html`<p class="soft lane-none">${t("none.medication")}</p>`;
  return html`<div class="boxes">
    ${shown.map((span) => {
      const [left, right] = [at(axis, span.start), span.end ? at(axis, span.end) : axis.width - RIGHT];
      const text = `${span.name}${span.dose ? `, ${span.dose}` : ""}`;
      return html`<button class="span" title=${text} @click=${() => axis.open(span.reference, span.name)}>
        <svg width=${axis.width} height=${ROW} aria-hidden="true">
          <rect class="span-bar" x=${left} y="2" width=${Math.max(right - left, 4)} height=${ROW - 4} rx=${span.start >= first ? 4 : 0} />
          <text class="span-text" x=${Math.max(left, LEFT) + 8} y=${ROW / 2 + 4}>${text}</text>
        </svg>
        <span class="hidden">${text}, ${day(span.start)}${span.end ? ` – ${day(span.end)}` : ""}</span>
      </button>`;
    })}
  </div>`;
}

/** One mark a visit; the lines through the lanes above stand at the same days. */
export function visits(axis: Axis, all: Visit[]): TemplateResult | typeof nothing {
  const first = axis.days[0]?.date ?? "";
  const last = axis.days.at(-1)?.until ?? "";
  const shown = all.filter((visit) => visit.date >= first && visit.date <= last);
  if (!shown.length) return nothing;
  const half = (axis.width - LEFT - RIGHT) / length(axis) / 2;
  return html`<svg class="visits" width=${axis.width} height=${ROW}>
    ${shown.map(
      (visit) => svg`<g role="button" tabindex="0" aria-label=${`${visit.text}, ${day(visit.date)}`}
        @click=${() => axis.open(visit.reference, visit.text)}
        @keydown=${(event: KeyboardEvent) => (event.key === "Enter" ? axis.open(visit.reference, visit.text) : undefined)}>
        <title>${visit.text}, ${day(visit.date)}</title>
        <rect class="hit" x=${at(axis, visit.date) + half - 12} y="0" width="24" height=${ROW} />
        <path class="visit" d=${diamond(at(axis, visit.date) + half, ROW / 2, 6)} />
      </g>`,
    )}
  </svg>`;
}

function diamond(x: number, y: number, size: number): string {
  return `M${x} ${y - size}L${x + size} ${y}L${x} ${y + size}L${x - size} ${y}Z`;
}

/** One row a stream, one cell a bucket: empty, part, all. Cells of a shade are one path, for thousands of them are many. */
export function coverage(axis: Axis): TemplateResult {
  const streams = [...new Set(axis.days.flatMap((each) => [...each.coverage.keys()]))].sort();
  if (!streams.length) return html`<p class="soft">${t("coverage.none")}</p>`;
  const step = (axis.width - LEFT - RIGHT) / axis.days.length;
  return html`<div class="coverage" role="img" aria-label=${summary(axis, streams)}>
    ${streams.map((stream) => {
      const cells = ["", "", "", ""];
      axis.days.forEach((each, index) => {
        cells[shade(each.coverage.get(stream) ?? 0)] += `M${(LEFT + index * step + 0.5).toFixed(1)} 0h${Math.max(step - 1, 0.8).toFixed(1)}v${CELL}h${-Math.max(step - 1, 0.8).toFixed(1)}z`;
      });
      return html`<div class="stream">
        <span class="stream-name">${name(stream)}</span>
        <svg width=${axis.width} height=${CELL} aria-hidden="true" @pointermove=${(event: PointerEvent) => tip(event, axis, stream, step)}>
          <title></title>${cells.map((path, at) => (path ? svg`<path class=${`c${at}`} d=${path} />` : nothing))}
        </svg>
      </div>`;
    })}
  </div>`;
}

/** Says what is under the pointer. */
function tip(event: PointerEvent, axis: Axis, stream: string, step: number): void {
  const box = event.currentTarget as SVGSVGElement;
  const each = axis.days[Math.floor((event.clientX - box.getBoundingClientRect().left - LEFT) / step)];
  const text = each ? cell(stream, each.date, each.coverage.get(stream) ?? 0) : "";
  const title = box.querySelector("title")!;
  if (title.textContent !== text) title.textContent = text;
}

function shade(part: number): number {
  return part <= 0.01 ? 0 : part < 0.5 ? 1 : part < 0.9 ? 2 : 3;
}

function cell(stream: string, date: string, part: number): string {
  if (part <= 0.01) return t("coverage.cell.none", { stream: name(stream), date: day(date) });
  return t("coverage.cell", { stream: name(stream), date: day(date), percent: number(part * 100) });
}

function name(stream: string): string {
  return named("stream", stream, stream);
}

function summary(axis: Axis, streams: string[]): string {
  return streams
    .map((stream) => {
      const measured = axis.days.filter((each) => (each.coverage.get(stream) ?? 0) > 0.01).length;
      return `${name(stream)}: ${measured} / ${axis.days.length}`;
    })
    .join("; ");
}
