/** The time axis: all lanes under one cursor, which a mouse moves and the keyboard as well. */
import { html, nothing, render, type TemplateResult } from "lit";
import type uPlot from "uplot";

import { clock, day, named, number, t } from "../shared/language";
import type { Day, Record_ } from "./data";
import { BY_CODE, said, title } from "./features";
import { type Lane, lanes, night, plot } from "./lanes";
import { type Axis, coverage, medication, visits } from "./strips";

export type Open = (reference: string, name: string) => void;

/** Draws into `root` and keeps up with its width, the theme and the printer. */
export class Chart {
  private plots: uPlot[] = [];
  private at: number | null = null;
  private days: Day[] = [];
  private made: Lane[] = [];
  private record: Record_ | null = null;
  private width = 0;

  constructor(
    private readonly root: HTMLElement,
    private readonly open: Open,
  ) {
    new ResizeObserver(() => this.fit()).observe(root);
    addEventListener("clarity-theme", () => this.plots.forEach((each) => each.redraw(false)));
  }

  /** Shows other days. */
  show(record: Record_, days: Day[]): void {
    [this.record, this.days, this.made, this.at] = [record, days, lanes(days, record), null];
    this.draw();
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
          @keydown=${(event: KeyboardEvent) => this.key(event)} @click=${() => this.openDay()}>
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
        this.plots.push(plot(lane, where, this.width, seen, last, (at) => this.moved(at)));
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
    const steps: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowDown: -1, ArrowUp: 1, PageDown: -7, PageUp: 7, Home: -1e6, End: 1e6 };
    const step = steps[event.key];
    if (event.key === "Enter" || event.key === " ") this.openDay();
    else if (step !== undefined) this.go((this.at ?? this.days.length) + step);
    else return;
    event.preventDefault();
  }

  /** Moves the cursor to a day. */
  go(index: number): void {
    const at = Math.min(Math.max(index, 0), this.days.length - 1);
    const first = this.plots[0];
    this.at = null;
    first?.setCursor({ left: first.valToPos(first.data[0][at] ?? 0, "x"), top: 10 });
    this.moved(at);
  }

  private openDay(): void {
    const each = this.at === null ? undefined : this.days[this.at];
    if (each?.reference) this.open(each.reference, day(each.date, "long"));
  }

  private readout(): void {
    const where = this.root.querySelector<HTMLElement>(".readout");
    const slider = this.root.querySelector(".lanes");
    if (!where) return;
    const each = this.at === null ? undefined : this.days[this.at];
    slider?.setAttribute("aria-valuenow", String((this.at ?? this.days.length - 1) + 1));
    slider?.setAttribute("aria-valuetext", each ? day(each.date, "long") : t("chart.cursor.none"));
    render(each ? this.values(each) : html`<span class="soft">${t("chart.cursor.none")}</span>`, where);
  }

  private values(each: Day): TemplateResult {
    const record = this.record;
    const scores = record?.scores.filter((score) => score.date === each.date) ?? [];
    const codes = [...new Set(["sleep-duration", ...this.made.map((lane) => lane.id)])].filter((code) => BY_CODE.has(code));
    return html`<button class="link" @click=${() => this.openDay()}>${day(each.date, "long")}</button>
      ${codes.map((code) => this.value(each, code))}
      ${scores.map((score) => html`<button class="value" @click=${() => this.open(score.reference, t(title(score.kind)))}>${t(title(score.kind))} <b>${number(score.value)}</b></button>`)}`;
  }

  private value(each: Day, code: string): TemplateResult | typeof nothing {
    const feature = BY_CODE.get(code);
    const value = each.values.get(code);
    if (!feature) return nothing;
    const name = t(title(code));
    if (value?.value == null) {
      const reason = value?.reason || (each.reference ? "no-data" : "no-state");
      return html`<span class="value absent">${name}: ${named("reason", reason, reason)}</span>`;
    }
    const nights = code === "sleep-duration" ? night(each) : null;
    const far = value.z !== null && Math.abs(value.z) >= 3;
    return html`<button class=${far ? "value far" : "value"} @click=${() => this.open(each.reference, `${name}, ${day(each.date)}`)}>
      ${name} <b>${said(feature, value.value)}</b>${nights ? html` <span>${clock(nights.start)}–${clock(nights.end)}</span>` : nothing}
      ${far ? html`<span>${value.direction === "above" ? "▲" : "▼"} <span class="hidden">${t("chart.beyond")}</span></span>` : nothing}
    </button>`;
  }
}
