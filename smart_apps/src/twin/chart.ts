/** The time axis: all lanes under one cursor, which a mouse moves and the keyboard as well. */
import { html, nothing, render, type TemplateResult } from "lit";
import type uPlot from "uplot";

import { clock, day, named, number, t } from "../shared/language";
import type { Day, Record_ } from "./data";
import { BY_CODE, said, title } from "./features";
import { type Lane, lanes, middle, night, plot, step } from "./lanes";
import { type Axis, coverage, medication, visits } from "./strips";

export type Open = (reference: string, name: string) => void;

/** What the reader asks of the axis: other days, or what a week rests on. */
export interface Asks {
  /** Moves by parts of the span, to the past where negative. */
  pan: (part: number) => void;
  /** Makes the span so many times as long, about a day. */
  zoom: (factor: number, about: string | null) => void;
  /** Shows these days. */
  span: (first: string, last: string) => void;
  week: (week: Day) => void;
}

/** Draws into `root` and keeps up with its width, the theme and the printer. */
export class Chart {
  private plots: uPlot[] = [];
  private at: number | null = null;
  private days: Day[] = [];
  private made: Lane[] = [];
  private record: Record_ | null = null;
  private width = 0;
  private dragged = false;

  constructor(
    private readonly root: HTMLElement,
    private readonly open: Open,
    private readonly asks: Asks,
  ) {
    new ResizeObserver(() => this.fit()).observe(root);
    addEventListener("clarity-theme", () => this.plots.forEach((each) => each.redraw(false)));
  }

  /** Shows other days, with the cursor where it was. */
  show(record: Record_, days: Day[]): void {
    const kept = this.at === null ? -1 : days.findIndex((each) => each.until >= (this.days[this.at ?? 0]?.date ?? ""));
    [this.record, this.days, this.made, this.at] = [record, days, lanes(days, record), null];
    this.draw();
    if (kept >= 0) this.go(kept);
  }

  /** Redraws at a width: that of the room, or of the paper. */
  fit(width = this.root.clientWidth): void {
    if (width && Math.abs(width - this.width) > 1) {
      this.width = width;
      if (this.record) this.draw();
    }
  }

  private draw(): void {
    const record = this.record;
    this.width ||= this.root.clientWidth;
    this.plots.forEach((each) => each.destroy());
    this.plots = [];
    if (!record || !this.days.length || this.width < 50) return;
    const axis: Axis = { days: this.days, width: this.width, open: this.open };
    render(
      html`<div class="lanes" role="slider" tabindex="0" aria-label=${`${t("chart.title", { days: this.days.length })}. ${t("chart.help")}`}
          aria-orientation="horizontal" aria-valuemin="1" aria-valuemax=${this.days.length} aria-valuenow=${(this.at ?? this.days.length - 1) + 1}
          @keydown=${(event: KeyboardEvent) => this.key(event)} @click=${() => this.clicked()} @wheel=${{ handleEvent: (event: WheelEvent) => this.wheel(event), passive: false }}>
          ${this.made.map((lane) => html`<div class="lane"><p class="lane-title">${t(lane.title)} <span>${t(lane.unit)}</span></p><div class="plot" id=${`lane-${lane.id}`}></div></div>`)}
        </div>
        <div class="readout" aria-live="polite"></div>
        <div class="lane"><p class="lane-title">${t("lane.visits")}</p>${visits(axis, record.visits)}</div>
        <div class="lane"><p class="lane-title">${t("lane.medication")}</p>${medication(axis, record.medications)}</div>
        <div class="lane lane-coverage"><p class="lane-title">${t("coverage")} <span>${t("coverage.help")}</span></p>${coverage(axis)}</div>`,
      this.root,
    );
    const seen = record.visits.map((visit) => visit.date);
    this.made.forEach((lane, index) => {
      const where = this.root.querySelector<HTMLElement>(`#lane-${lane.id}`);
      const last = index === this.made.length - 1;
      if (where) {
        where.replaceChildren();
        this.plots.push(plot(lane, where, this.width, step(this.days) * 43_200, seen, last, (at) => this.moved(at), (from, to) => this.chosen(from, to)));
      }
    });
    this.readout();
  }

  private moved(at: number | null): void {
    if (at === null || at === this.at) return;
    this.at = at;
    this.readout();
  }

  private key(event: KeyboardEvent): void {
    const week = step(this.days) > 1 ? 4 : 7;
    const steps: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -week, PageUp: week, Home: -1e6, End: 1e6 };
    const by = steps[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return; // the browser's own keys
    if (event.key === "Enter" || event.key === " ") this.openDay();
    else if (event.key === "+" || event.key === "-") this.asks.zoom(event.key === "+" ? 0.5 : 2, this.cursor());
    else if (event.shiftKey && by !== undefined) this.asks.pan(Math.sign(by) / 4);
    else if (by !== undefined) this.go((this.at ?? this.days.length) + by);
    else return;
    event.preventDefault();
  }

  /** Sideways moves the days, with Ctrl the wheel zooms; up and down is the page's. */
  private wheel(event: WheelEvent): void {
    const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    const by = event.shiftKey ? event.deltaX || event.deltaY : event.deltaX;
    if (event.ctrlKey) this.asks.zoom(event.deltaY < 0 ? 0.8 : 1.25, this.cursor());
    else if (sideways) this.asks.pan(Math.max(-0.25, Math.min(0.25, by / 800)));
    else return;
    event.preventDefault();
  }

  private cursor(): string | null {
    return this.at === null ? null : (this.days[this.at]?.date ?? null);
  }

  private chosen(from: number, to: number): void {
    this.dragged = true;
    setTimeout(() => (this.dragged = false)); // after the click that ends the drag
    const text = (seconds: number): string => new Date(seconds * 1000).toISOString().slice(0, 10);
    this.asks.span(text(from), text(to));
  }

  private clicked(): void {
    if (!this.dragged) this.openDay();
  }

  /** Moves the cursor to a day. */
  go(index: number): void {
    const at = Math.min(Math.max(index, 0), this.days.length - 1);
    const first = this.plots[0];
    if (!this.days[at]) return;
    this.at = null;
    first?.setCursor({ left: first.valToPos(middle(this.days[at]!), "x"), top: 10 });
    this.moved(at);
  }

  private openDay(): void {
    const each = this.at === null ? undefined : this.days[this.at];
    if (each) this.openBucket(each, name(each));
  }

  private openBucket(each: Day, title: string): void {
    if (each.reference) this.open(each.reference, title);
    else if (each.until !== each.date) this.asks.week(each);
  }

  private readout(): void {
    const where = this.root.querySelector<HTMLElement>(".readout");
    const slider = this.root.querySelector(".lanes");
    if (!where) return;
    const each = this.at === null ? undefined : this.days[this.at];
    slider?.setAttribute("aria-valuenow", String((this.at ?? this.days.length - 1) + 1));
    slider?.setAttribute("aria-valuetext", each ? name(each) : t("chart.cursor.none"));
    render(each ? this.values(each) : html`<span class="soft">${t("chart.cursor.none")}</span>`, where);
  }

  private values(each: Day): TemplateResult {
    const record = this.record;
    const scores = record?.scores.filter((score) => score.date >= each.date && score.date <= each.until) ?? [];
    const codes = [...new Set(["sleep-duration", ...this.made.map((lane) => lane.id)])].filter((code) => BY_CODE.has(code));
    return html`<button class="link" @click=${() => this.openDay()}>${name(each)}</button>
      ${codes.map((code) => this.value(each, code))}
      ${scores.map((score) => html`<button class="value" @click=${() => this.open(score.reference, t(title(score.kind)))}>${t(title(score.kind))} <b>${number(score.value)}</b></button>`)}`;
  }

  private value(each: Day, code: string): TemplateResult | typeof nothing {
    const feature = BY_CODE.get(code);
    const value = each.values.get(code);
    if (!feature) return nothing;
    const named_ = t(title(code));
    if (value?.value == null) {
      const reason = value?.reason || (each.reference || each.values.size ? "no-data" : "no-state");
      return html`<span class="value absent">${named_}: ${named("reason", reason, reason)}</span>`;
    }
    const nights = code === "sleep-duration" ? night(each) : null;
    const far = value.z !== null && Math.abs(value.z) >= 3;
    return html`<button class=${far ? "value far" : "value"} @click=${() => this.openBucket(each, `${named_}, ${day(each.date)}`)}>
      ${named_} <b>${said(feature, value.value)}</b>${nights ? html` <span>${clock(nights.start)}–${clock(nights.end)}</span>` : nothing}
      ${far ? html`<span>${value.direction === "above" ? "▲" : "▼"} <span class="hidden">${t("chart.beyond")}</span></span>` : nothing}
    </button>`;
  }
}

/** A day, or a week from its first day to its last. */
function name(each: Day): string {
  return each.date === each.until ? day(each.date, "long") : t("chart.week", { from: day(each.date), to: day(each.until) });
}
