/** Two periods that the reader chose, such as before and after a medicine: read when they are chosen, compared as the others are. */
import { html, nothing, type TemplateResult } from "lit";

import { day, t } from "../shared/language";
import { problemOf } from "../shared/problems";
import { type Day, between, shift } from "./data";
import type { Period } from "./summary";
import type { Timeline } from "./timeline";

type Side = "now" | "before";
type End = "from" | "to";

/** Days of a period at most: each is a day that is read. */
const LONGEST = 366;

export class Pair {
  private chosen: Record<Side, Record<End, string>> | null = null;
  private shown: Record<Side, Record<End, string>> | null = null;
  private reading = false;
  private problem = "";

  constructor(
    private readonly timeline: Timeline,
    private readonly today: string,
    private readonly draw: () => void,
  ) {}

  /** Begins with the periods that were compared before, or with two weeks each. */
  begin(compared: Period): void {
    if (this.chosen) return;
    const span = (days: Day[], last: string): Record<End, string> => ({ from: days[0]?.date ?? shift(last, -13), to: days.at(-1)?.date ?? last });
    const now = span(compared.now, this.today);
    this.chosen = { now, before: span(compared.before, shift(now.from, -1)) };
    void this.read();
  }

  /** What is compared; null until it was read. */
  period(): Period | null {
    const { shown } = this;
    if (!shown) return null;
    const days = (side: Side): Day[] => this.timeline.buckets(shown[side].from, shown[side].to, "day");
    const { now, before } = shown;
    const why = t("since.two.why", { from: day(now.from), to: day(now.to), before: day(before.from), until: day(before.to) });
    return { now: days("now"), before: days("before"), since: shift(now.from, -1), heading: t("since.two"), why };
  }

  form(): TemplateResult {
    const shared = this.shown && this.shown.now.from <= this.shown.before.to && this.shown.before.from <= this.shown.now.to;
    return html`<form class="row two" @submit=${(event: Event) => event.preventDefault()}>
        ${this.side("now")}${this.side("before")}
        ${this.reading ? html`<p class="soft" role="status">${t("loading")}</p>` : nothing}
      </form>
      ${this.problem ? html`<p class="alarm" role="alert">${this.problem}</p>` : shared ? html`<p class="soft">${t("since.two.overlap")}</p>` : nothing}`;
  }

  private side(side: Side): TemplateResult {
    return html`<fieldset><legend>${t(`since.two.${side}`)}</legend>
      ${(["from", "to"] as const).map((end) => html`<label>${t(`since.two.${end}`)} <input type="date" id=${`two-${side}-${end}`} .value=${this.chosen?.[side][end] ?? ""} max=${this.today}
        @change=${(event: Event) => this.choose(side, end, (event.target as HTMLInputElement).value)} /></label>`)}
    </fieldset>`;
  }

  private choose(side: Side, end: End, date: string): void {
    if (!this.chosen) return;
    this.chosen = { ...this.chosen, [side]: { ...this.chosen[side], [end]: date } };
    void this.read();
  }

  private async read(): Promise<void> {
    const { chosen } = this;
    if (!chosen) return;
    const sides = [chosen.now, chosen.before];
    const wrong = sides.some(({ from, to }) => !from || !to || from > to || to > this.today || between(from, to) >= LONGEST);
    [this.problem, this.reading] = [wrong ? t("since.two.order", { days: LONGEST }) : "", !wrong];
    this.draw();
    if (wrong) return;
    let failed = "";
    try {
      await Promise.all(sides.map(({ from, to }) => this.timeline.load(from, to, "day")));
    } catch (error) {
      failed = t("chart.failed", { text: problemOf(error).detail });
    }
    if (this.chosen !== chosen) return; // the reader has gone on
    [this.problem, this.reading] = [failed, false];
    if (!failed) this.shown = chosen;
    this.draw();
  }
}
