/**
 * Activity as an actogram: a row for each day of the axis and, double-plotted, the day after it, by five minutes of the wall clock, so
 * that a night stands in one piece and a rhythm that drifts is a slanted edge. Only the days in view are read and drawn.
 */
import { html, nothing, render, type TemplateResult } from "lit";

import { clock, day, named, number, t, type Word } from "../shared/language";
import { problemOf } from "../shared/problems";
import type { Session } from "../shared/session";
import type { Source } from "../shared/sources";
import { type Active, type Gap, Activity, BIN, BINS } from "./activity";
import { ROW, TOP, type Scene, height, inView, paint, under } from "./canvas";
import { median } from "./change";
import { type Day, between, shift } from "./data";

/** The stream that is drawn: the first of them that the days have. */
const STREAMS = ["activity-counts", "steps"];
/** Rows that are seen at once. */
const SEEN = 28;
const HOUR = BINS / 24;
const [LEAST, MOST] = [5, 10];
/** So long the view has to stand before its days are read, in ms. */
const SETTLED = 120;

export class Actogram {
  private rows: string[] = [];
  private streams: string[] = [];
  private activity: Activity | null = null;
  private readonly kept = new Map<string, Activity>();
  private at: { row: number; bin: number } | null = null;
  private twice = true;
  private failed = "";
  private reading = 0;
  /** The rows that were asked for last. */
  private asked = "";
  private settling = 0;
  private frame = 0;
  private readonly watch = new ResizeObserver(() => this.soon());

  constructor(
    private readonly session: Session,
    private readonly today: string,
    private readonly open: (source: Source) => void,
  ) {
    addEventListener("clarity-theme", () => this.soon());
  }

  /** The section that folds; nothing is read before it is opened. */
  section(): TemplateResult {
    return html`<details class="card acto" id="actogram" @toggle=${() => this.show()}>
      <summary><h2>${t("acto.title")}</h2></summary>
      <div class="acto-box"></div>
    </details>`;
  }

  /** Takes the days of the axis for its rows. */
  over(days: Day[]): void {
    const [first, last] = [days[0]?.date, [days.at(-1)?.until ?? "", this.today].sort()[0]!];
    const cursor = this.at && this.rows[this.at.row];
    this.rows = first ? Array.from({ length: Math.max(0, between(first, last) + 1) }, (_, on) => shift(first, on)) : [];
    this.streams = STREAMS.filter((stream) => days.some((each) => (each.coverage.get(stream) ?? 0) > 0));
    const row = cursor ? this.rows.indexOf(cursor) : -1;
    this.at = this.at && row >= 0 ? { row, bin: this.at.bin } : null;
    this.show();
  }

  private get view(): HTMLElement | null {
    return document.querySelector<HTMLElement>("#actogram[open] .acto-view");
  }

  /** Draws all of it anew, if it is open, with the newest days or those of the cursor in view. */
  private show(): void {
    const section = document.querySelector<HTMLDetailsElement>("#actogram");
    const box = section?.querySelector<HTMLElement>(".acto-box");
    if (!box || !section?.open) return;
    const stream = this.streams[0];
    if (!stream || !this.rows.length) {
      this.activity = null;
      render(html`<p class="soft">${t("acto.none")}</p>`, box);
      return;
    }
    this.activity = this.kept.get(stream) ?? new Activity(this.session.client, this.session.patient, this.today, stream);
    this.kept.set(stream, this.activity);
    render(this.page(stream), box);
    const view = this.view!;
    const tall = height(Math.min(this.rows.length, SEEN));
    view.style.height = view.querySelector("canvas")!.style.height = `${tall}px`; // before it is scrolled: its rows have their places
    view.querySelector<HTMLElement>(".acto-space")!.style.height = `${height(this.rows.length) - tall}px`;
    view.scrollTop = this.at ? (this.at.row - SEEN / 2) * ROW : height(this.rows.length);
    this.watch.disconnect();
    this.watch.observe(view);
    void this.read();
  }

  private page(stream: string): TemplateResult {
    const key = (of: "sleep" | "m10" | "l5" | "off"): TemplateResult => html`<span class=${`key acto-${of}`} aria-hidden="true"></span>${t(`acto.key.${of}`)}`;
    return html`<div class="row head">
        <p class="soft">${t("acto.help", { stream: t(`stream.${stream}` as Word), minutes: BIN })} <span class="acto-usual"></span></p>
        <label class="choose"><input type="checkbox" id="twice" .checked=${this.twice} @change=${() => this.turn()} /> ${t("acto.twice")}</label>
      </div>
      <p class="legend soft">${key("sleep")} ${key("off")} ${stream === STREAMS[0] ? html`${key("m10")} ${key("l5")}` : t("acto.no-rhythm")}</p>
      <div class="acto-view" role="slider" tabindex="0" aria-orientation="vertical" aria-label=${`${t("acto.title")}. ${t("acto.keys")}`}
        aria-valuemin="1" aria-valuemax=${this.rows.length} aria-valuenow=${(this.at?.row ?? this.rows.length - 1) + 1} aria-valuetext=${t("chart.cursor.none")}
        data-stream=${stream} @scroll=${() => this.scrolled()} @keydown=${(event: KeyboardEvent) => this.key(event)}
        @pointermove=${(event: PointerEvent) => this.point(event)} @click=${() => this.openDay()}>
        <canvas class="acto-canvas" aria-hidden="true"></canvas><div class="acto-space"></div>
      </div>
      <div class="readout" id="acto-readout" aria-live="polite"></div>
      <div class="acto-told"></div>
      <details class="acto-table" @toggle=${() => this.tell()}><summary>${t("acto.table")}</summary><div></div></details>`;
  }

  // ---- reading what is in view ----

  private scrolled(): void {
    this.soon();
    clearTimeout(this.settling);
    this.settling = window.setTimeout(() => (String(this.span()) === this.asked ? undefined : void this.read()), SETTLED);
  }

  private span(): [number, number] {
    const view = this.view;
    return view ? inView(this.scene(), view.clientHeight) : [0, -1];
  }

  /** Reads the days in view, with the day after the last one and the night after that. */
  private async read(): Promise<void> {
    const { activity } = this;
    const [first, last] = this.span().map((row) => this.rows[row] ?? "");
    if (!activity || !first || !last) return;
    const until = shift(last, 2);
    [this.failed, this.asked] = ["", String(this.span())];
    if (!activity.has(first, until)) {
      this.reading += 1;
      this.tell();
      try {
        await activity.load(first, until);
      } catch (error) {
        this.failed = problemOf(error).detail;
      }
      this.reading -= 1;
    }
    if (activity === this.activity) this.tell();
  }

  // ---- what is seen ----

  private scene(): Scene {
    const { rows, activity, twice, today, at } = this;
    return { rows, twice, today, day: (date) => activity?.day(date), tall: activity?.tall ?? 1, top: this.view?.scrollTop ?? 0, cursor: at };
  }

  private soon(): void {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.paint());
  }

  private paint(): void {
    const view = this.view;
    if (!view || !this.activity || view.clientWidth < 100) return;
    const canvas = view.querySelector("canvas")!;
    [canvas.style.width, canvas.style.height] = [`${view.clientWidth}px`, `${view.clientHeight}px`];
    paint(canvas, view.clientWidth, view.clientHeight, this.scene());
  }

  private turn(): void {
    this.twice = !this.twice;
    if (this.at) this.at = { row: this.at.row, bin: this.at.bin % BINS };
    this.soon();
  }

  /** Says how the reading stands, the usual hours and the table, of the days in view. */
  private tell(): void {
    const box = this.view?.parentElement;
    if (!box) return;
    const seen = this.seen();
    render(html`${usual(seen)}`, box.querySelector<HTMLElement>(".acto-usual")!);
    render(
      html`${this.reading ? html`<p class="soft" role="status">${t("loading")}</p>` : nothing}
        ${this.failed ? html`<p class="alarm" role="alert">${t("acto.failed", { text: this.failed })} <button id="acto-again" @click=${() => void this.read()}>${t("try-again")}</button></p>` : nothing}`,
      box.querySelector<HTMLElement>(".acto-told")!,
    );
    const table_ = box.querySelector<HTMLDetailsElement>(".acto-table")!;
    if (table_.open) render(this.table(seen), table_.querySelector("div")!);
    this.view!.toggleAttribute("data-whole", !this.reading && !this.failed);
    this.readout();
    this.soon();
  }

  private seen(): Active[] {
    const [first, last] = this.span();
    return this.rows.slice(first, last + 1).map((date) => this.activity?.day(date)).filter((each) => each !== undefined);
  }

  // ---- the cursor ----

  private point(event: PointerEvent): void {
    const box = this.view!.getBoundingClientRect();
    const at = under(this.scene(), this.view!.clientWidth, event.clientX - box.left, event.clientY - box.top);
    if (at) this.go(at.row, at.bin);
  }

  private key(event: KeyboardEvent): void {
    const across: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1 };
    const down: Record<string, number> = { ArrowUp: -1, ArrowDown: 1, PageUp: -7, PageDown: 7, Home: -1e6, End: 1e6 };
    if (event.ctrlKey || event.metaKey || event.altKey) return; // the browser's own keys
    const at = this.at ?? { row: this.rows.length - (down[event.key] ? 0 : 1), bin: BINS / 2 };
    const [by, days] = [across[event.key], down[event.key]];
    if (event.key === "Enter" || event.key === " ") this.openDay();
    else if (by !== undefined) this.go(at.row, at.bin + by * (event.shiftKey ? HOUR : 1));
    else if (days !== undefined) this.go(at.row + days, at.bin);
    else return;
    event.preventDefault();
    const [view, top] = [this.view!, (this.at?.row ?? 0) * ROW];
    if (top < view.scrollTop) view.scrollTop = top;
    else if (top + ROW + TOP > view.scrollTop + view.clientHeight) view.scrollTop = top + ROW + TOP - view.clientHeight;
  }

  private go(row: number, bin: number): void {
    const most = (this.twice ? 2 : 1) * BINS - 1;
    this.at = { row: Math.min(this.rows.length - 1, Math.max(0, row)), bin: Math.min(most, Math.max(0, bin)) };
    this.readout();
    this.soon();
  }

  /** The day under the cursor: in the right half the one after the row's. */
  private pointed(): { date: string; bin: number } | null {
    return this.at && { date: shift(this.rows[this.at.row] ?? "", Math.floor(this.at.bin / BINS)), bin: this.at.bin % BINS };
  }

  private readout(): void {
    const [view, where] = [this.view, this.view?.parentElement?.querySelector<HTMLElement>("#acto-readout")];
    if (!view || !where) return;
    const at = this.pointed();
    const told = at ? this.activity?.day(at.date) : undefined;
    const facts = at ? [moment(told, at.bin), ...(told ? said(told) : [])] : [];
    view.setAttribute("aria-valuenow", String((this.at?.row ?? this.rows.length - 1) + 1));
    view.setAttribute("aria-valuetext", at ? `${day(at.date, "long")}: ${facts.join("; ")}` : t("chart.cursor.none"));
    render(at ? html`<button class="link" @click=${() => this.openDay()}>${day(at.date, "long")}</button> ${facts.map((each) => html`<span>${each}</span>`)}` : html`<span class="soft">${t("chart.cursor.none")}</span>`, where);
  }

  private openDay(date = this.pointed()?.date): void {
    const told = date && this.activity?.day(date);
    if (told && told.reference) this.open({ title: day(told.date, "long"), items: [{ reference: told.reference, text: "" }] });
  }

  // ---- the same in a table ----

  private table(seen: Active[]): TemplateResult {
    const move = (by: number): void => {
      this.view!.scrollTop += by * (SEEN - 1) * ROW;
    };
    const [first, last] = this.span();
    return html`<p class="row"><button @click=${() => move(-1)} ?disabled=${first <= 0}>${t("chart.earlier")}</button><button @click=${() => move(1)} ?disabled=${last >= this.rows.length - 1}>${t("chart.later")}</button></p>
      <table><caption class="soft">${t("acto.caption")}</caption>
        <thead><tr>${["day", "total", "sleep", "m10", "l5", "off"].map((each) => html`<th scope="col">${t(`acto.column.${each}` as Word)}</th>`)}</tr></thead>
        <tbody>${seen.map((each) => this.line(each))}</tbody></table>`;
  }

  private line(each: Active): TemplateResult {
    const gaps = each.gaps.filter((gap) => each.date !== this.today || gap.last < BINS - 1);
    const name = day(each.date, "long");
    return html`<tr data-date=${each.date} data-total=${each.total ?? ""}>
      <th scope="row">${each.reference ? html`<button class="link" @click=${() => this.openDay(each.date)}>${name}</button>` : name}</th>
      <td>${each.total === null ? "–" : number(each.total)}</td><td>${each.night ? hours(each.night.start, each.night.end) : "–"}</td>
      <td>${each.m10 === null ? "–" : hours(each.m10, each.m10 + MOST)}</td><td>${each.l5 === null ? "–" : hours(each.l5, each.l5 + LEAST)}</td>
      <td>${gaps.map((gap) => `${ofDay(gap.first)}–${ofDay(gap.last + 1)} ${why(gap)}`).join(", ") || "–"}</td>
    </tr>`;
  }
}

function hours(from: number, to: number): string {
  return `${clock(from)}–${clock(to)}`;
}

/** A part as its time; the end of the day is 24:00. */
function ofDay(bin: number): string {
  return bin === BINS ? "24:00" : clock(bin / HOUR);
}

function why(gap: Gap): string {
  return named("reason", gap.reason, gap.reason);
}

/** What was in one part of a day. */
function moment(told: Active | undefined, bin: number): string {
  const value = told?.bins[bin];
  const gap = told?.gaps.find((each) => each.first <= bin && bin <= each.last);
  const what = value === undefined ? "–" : Number.isNaN(value) ? (gap ? why(gap) : "–") : number(value);
  return `${ofDay(bin)}–${ofDay(bin + 1)}: ${what}`;
}

/** What is said of a whole day. */
function said(told: Active): string[] {
  const facts = [told.total === null ? "" : t("acto.total", { total: number(told.total) }), t("acto.measured", { percent: number(told.measured * 100) })];
  if (told.night) facts.push(t("acto.slept", { hours: hours(told.night.start, told.night.end) }));
  if (told.m10 !== null) facts.push(`M10 ${hours(told.m10, told.m10 + MOST)}`);
  if (told.l5 !== null) facts.push(`L5 ${hours(told.l5, told.l5 + LEAST)}`);
  return facts.filter(Boolean);
}

/** The usual hours of most and least activity: medians over days. */
function usual(seen: Active[]): string {
  const sum = (each: Active, hour: number): number => each.bins.slice(hour * HOUR, (hour + 1) * HOUR).reduce((all, value) => all + value, 0);
  const found = Array.from({ length: 24 }, (_, hour) => median(seen.map((each) => sum(each, hour)).filter((value) => !Number.isNaN(value))));
  const known = found.filter((value) => value !== null);
  if (known.length < 24) return "";
  const low = quietest(known);
  return t("acto.summary", { most: clock(known.indexOf(Math.max(...known))), from: clock(low), to: clock(low + LEAST) });
}

/** The hour at which the quietest hours in a row begin. */
function quietest(found: number[]): number {
  const sums = found.map((_, hour) => Array.from({ length: LEAST }, (_, on) => found[(hour + on) % 24] ?? 0).reduce((sum, value) => sum + value, 0));
  return sums.indexOf(Math.min(...sums));
}
