/** The axis with what moves it: a span of days, near or far, of which only what is shown is read. */
import { html, nothing, render } from "lit";

import { day, t } from "../shared/language";
import { problemOf } from "../shared/problems";
import type { Session } from "../shared/session";
import type { Source } from "../shared/sources";
import { Chart } from "./chart";
import { type Day, type Record_, between, earlier, known, shift } from "./data";
import { type Timeline, fitting } from "./timeline";

const RANGES = [30, 90, 365, 1826];
const [SHORTEST, LONGEST] = [14, 1826];
/** So far back one moves. */
const OLDEST = 20 * 366;
/** Of a span up to this many days as much beside it is read ahead. */
const AHEAD = 400;

interface View {
  first: string;
  last: string;
  /** Days up to today that were chosen as such; null for a span that the reader moved. */
  preset: number | null;
}

/** Keeps the span; `start` is the first day that was read with the page. */
export class Axis {
  private view: View;
  private record: Record_ | null = null;
  private shown: View | null = null;
  private chart: Chart | null = null;
  private scores: Promise<void> | null = null;
  private failed = "";

  constructor(
    private readonly session: Session,
    private readonly timeline: Timeline,
    private readonly today: string,
    private readonly open: (source: Source) => void,
    /** Hears of the days that are shown. */
    private readonly over: (days: Day[]) => void,
  ) {
    this.view = { ...this.preset(90), preset: 90 };
  }

  private preset(days: number): { first: string; last: string } {
    return { first: shift(this.today, -days), last: this.today };
  }

  /** Draws into the page, which has to be there. */
  show(record: Record_): Promise<void> {
    this.record = record;
    return this.go(this.view);
  }

  /** Redraws at a width. */
  fit(width?: number): void {
    this.chart?.fit(width);
  }

  private async go(view: View): Promise<void> {
    this.view = view;
    this.failed = "";
    const resolution = fitting(view.first, view.last);
    const reading = this.timeline.load(view.first, view.last, resolution);
    if (!this.timeline.has(view.first, view.last, resolution)) this.draw(true);
    try {
      await Promise.all([reading, this.older(view.first)]);
    } catch (error) {
      this.failed = problemOf(error).detail;
    }
    if (this.view !== view) return; // the reader has moved on
    this.shown = this.failed ? this.shown : view;
    this.draw(false);
    const length = between(view.first, view.last);
    const ahead = length <= AHEAD && !this.failed && view.preset === null;
    if (ahead) this.timeline.load(shift(view.first, -length), view.first, resolution).catch((error: unknown) => console.info("read ahead:", problemOf(error).kind));
  }

  /** Scores from before the days that the page began with, once and as far back as there are any. */
  private older(first: string): Promise<void> {
    const record = this.record!;
    if (first >= record.from) return Promise.resolve();
    this.scores ??= earlier(this.session.client, this.session.patient, record.from).then(
      (found) => { record.scores = [...found, ...record.scores]; },
      (error: unknown) => { this.scores = null; throw error; },
    );
    return this.scores;
  }

  private draw(busy: boolean): void {
    const record = this.record!;
    const view = this.shown ?? this.view;
    const resolution = fitting(view.first, view.last);
    const all = this.timeline.buckets(view.first, view.last, resolution);
    const days = view.preset === null ? all : known(all);
    const title = t(resolution === "day" ? "chart.title" : "chart.title.weeks", { days: days.length });
    render(this.head(title, days, busy), document.querySelector<HTMLElement>("#axis")!);
    if (busy && this.shown) return; // what is there stays until the rest has come
    this.chart ??= new Chart(document.querySelector<HTMLElement>("#chart")!, (reference, text) => this.open({ title: text, items: [{ reference, text: "" }] }), {
      pan: (part) => this.pan(part),
      zoom: (factor, about) => this.zoom(factor, about),
      span: (first, last) => this.span(first, last),
      week: (week) => void this.week(week),
    });
    this.chart.show(record, days);
    this.over(days);
  }

  private head(title: string, days: Day[], busy: boolean): unknown {
    const { preset } = this.view;
    const [first, last] = [days[0], days.at(-1)];
    const length = between(this.view.first, this.view.last);
    const ranges = preset === null ? [...RANGES, length] : RANGES;
    return html`<div class="row head">
        <div><h2>${title}</h2><p class="soft" id="span" aria-live="polite">${first && last ? `${day(first.date)} – ${day(last.until < this.today ? last.until : this.today)}` : ""}</p></div>
        <p class="legend soft"><span class="key band"></span>${t("chart.band")} <span class="key tri" aria-hidden="true">▲</span>${t("chart.beyond")} <span class="key visit"></span>${t("chart.visit")}</p>
        <div class="row moves">
          ${this.button("earlier", "◀", () => this.pan(-0.5))}${this.button("later", "▶", () => this.pan(0.5), this.view.last >= this.today)}
          ${this.button("nearer", "+", () => this.zoom(0.5, null), length <= SHORTEST)}${this.button("farther", "−", () => this.zoom(2, null), length >= LONGEST)}
          <label class="choose">${t("chart.range")}
            <select id="range" @change=${(event: Event) => void this.choose(Number((event.target as HTMLSelectElement).value))}>
              ${ranges.map((each) => html`<option value=${each} ?selected=${each === (preset ?? length)}>${each === 1826 ? t("chart.range.years", { years: 5 }) : each}</option>`)}
            </select>
          </label>
        </div>
      </div>
      ${busy ? html`<p class="soft reading" role="status">${t("loading")}</p>` : nothing}
      ${this.failed ? html`<p class="alarm" role="alert">${t("chart.failed", { text: this.failed })}</p>` : nothing}
      ${days.length || busy ? nothing : html`<p class="alarm">${t("problem.none")}. ${t("problem.none.why")} ${t("problem.none.do")}</p>`}`;
  }

  private button(name: "earlier" | "later" | "nearer" | "farther", sign: string, act: () => void, off = false): unknown {
    return html`<button class="move" id=${name} aria-label=${t(`chart.${name}`)} title=${t(`chart.${name}`)} ?disabled=${off} @click=${act}>${sign}</button>`;
  }

  private choose(days: number): Promise<void> {
    return RANGES.includes(days) ? this.go({ ...this.preset(days), preset: days }) : this.go(this.view);
  }

  private pan(part: number): void {
    const { first, last } = this.view;
    const length = between(first, last);
    const by = Math.sign(part) * Math.max(1, Math.round(Math.abs(part) * length));
    this.span(shift(first, by), shift(last, by));
  }

  private zoom(factor: number, about: string | null): void {
    const { first, last } = this.view;
    const length = between(first, last);
    const next = Math.round(Math.min(LONGEST, Math.max(SHORTEST, length * factor)));
    const at = between(first, about ?? shift(first, Math.round(length / 2)));
    const start = shift(first, Math.round(at - (at * next) / Math.max(length, 1)));
    this.span(start, shift(start, next));
  }

  /** Shows a span, moved to where there may be days: not after today, and not too far back. */
  private span(first: string, last: string): void {
    const length = Math.min(LONGEST, Math.max(SHORTEST, between(first, last)));
    const end = [[last, this.today].sort()[0]!, shift(this.today, length - OLDEST)].sort()[1]!;
    const next: View = { first: shift(end, -length), last: end, preset: null };
    if (next.first !== this.view.first || next.last !== this.view.last) void this.go(next);
  }

  /** The days of a week, each with the state that it rests on. */
  private async week(week: Day): Promise<void> {
    const title = t("chart.week", { from: day(week.date), to: day(week.until) });
    try {
      const states = await this.timeline.states(week);
      this.open({ title, items: states.map((each) => ({ reference: each.reference, text: day(each.date, "long") })) });
    } catch (error) {
      this.failed = problemOf(error).detail;
      this.draw(false);
    }
  }
}
