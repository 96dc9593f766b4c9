/** The lanes of the time axis that are lines, bars and bands: uPlot, one plot a lane, one cursor for all. */
import uPlot, { type Options } from "uplot";
import "uplot/dist/uPlot.min.css";

import { clock, day, number, type Word } from "../shared/language";
import { colour } from "../shared/theme";
import { type Day, type Record_, between } from "./data";

/** Width of the axis at the left, which every lane has. */
export const LEFT = 58;
export const RIGHT = 10;

export interface Lane {
  id: string;
  title: Word;
  unit: Word;
  height: number;
  data: uPlot.AlignedData;
  series: uPlot.Series[];
  bands: uPlot.Band[];
  scale: uPlot.Scale;
  ticks: (value: number) => string;
  /** Draws over the lane: bars of sleep, marks of days beyond the own range. */
  over: (plot: uPlot) => void;
}

type Numbers = (number | null)[];

/** Seconds of a local day, for uPlot, whose axis is in UTC here. */
export function seconds(date: string): number {
  return Date.parse(`${date}T00:00:00Z`) / 1000;
}

/** The middle of a bucket on that axis. */
export function middle(each: Day): number {
  return (seconds(each.date) + seconds(each.until)) / 2;
}

/** Days of a bucket. */
export function step(days: Day[]): number {
  return days[0] ? between(days[0].date, days[0].until) + 1 : 1;
}

/** The lanes for which the days hold anything. */
export function lanes(days: Day[], record: Record_): Lane[] {
  const x = days.map(middle);
  const made: (Lane | null)[] = [
    sleep(days, x),
    measured(days, x, "steps", "lane.steps", "unit.steps", 84, true),
    measured(days, x, "activity-mean", "lane.activity-mean", "unit.counts", 74, true),
    measured(days, x, "resting-heart-rate", "lane.resting-heart-rate", "unit.bpm", 84, false),
    measured(days, x, days.some((each) => each.values.get("hrv-rmssd")?.value != null) ? "hrv-rmssd" : "hrv-sdnn", "lane.hrv", "unit.ms", 74, false),
    scores(days, x, record),
  ];
  return made.filter((lane) => lane !== null);
}

function column(days: Day[], code: string, part: "value" | "low" | "high" | "least" | "most"): Numbers {
  return days.map((each) => each.values.get(code)?.[part] ?? null);
}

function band(): { series: uPlot.Series[]; bands: uPlot.Band[] } {
  const edge = { stroke: "transparent", points: { show: false } };
  return { series: [{ ...edge }, { ...edge }], bands: [{ series: [2, 1], fill: () => colour("band") }] };
}

function measured(days: Day[], x: number[], code: string, title: Word, unit: Word, height: number, bars: boolean): Lane | null {
  const y = column(days, code, "value");
  if (y.every((value) => value === null)) return null;
  const around = band();
  const line: uPlot.Series = bars
    ? { stroke: () => colour("accent"), fill: () => colour("accent"), width: 0, points: { show: false }, paths: uPlot.paths.bars!({ size: [0.62, 14] }) }
    : { stroke: () => colour("accent"), width: 1.6, spanGaps: false, points: { show: true, size: 3.5, fill: () => colour("accent") } };
  const low = column(days, code, "low");
  const all = [...y, ...low, ...column(days, code, "high"), ...column(days, code, "least"), ...column(days, code, "most")].filter((value) => value !== null);
  const least = bars ? 0 : Math.min(...all);
  const most = Math.max(...all);
  const pad = (most - least) * 0.08 || 1;
  return {
    id: code, title, unit, height, data: [x, low, column(days, code, "high"), y], series: [...around.series, line],
    bands: around.bands, scale: { range: [bars ? 0 : least - pad, most + pad] },
    ticks: (value) => (value >= 10_000 ? `${number(value / 1000)}k` : number(value)),
    over: (plot) => {
      ranges(plot, days, code);
      marks(plot, days, code, 3);
    },
  };
}

/** From the lowest to the highest day of a week. */
function ranges(plot: uPlot, days: Day[], code: string): void {
  const { ctx } = plot;
  ctx.save();
  ctx.strokeStyle = colour("strong-line");
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  for (const each of days) {
    const value = each.values.get(code);
    if (value?.least == null || value.most === null) continue;
    const at = plot.valToPos(middle(each), "x", true);
    ctx.moveTo(at, plot.valToPos(value.least, "y", true));
    ctx.lineTo(at, plot.valToPos(value.most, "y", true));
  }
  ctx.stroke();
  ctx.restore();
}

/** Days outside of the own range: a ring and a triangle that says the direction, so that colour is not the only sign. */
function marks(plot: uPlot, days: Day[], code: string, series: number): void {
  const { ctx } = plot;
  const size = 4.5 * devicePixelRatio;
  ctx.save();
  ctx.fillStyle = colour("warn");
  ctx.strokeStyle = colour("card");
  ctx.lineWidth = devicePixelRatio;
  days.forEach((each, index) => {
    const value = each.values.get(code);
    const y = plot.data[series]?.[index];
    if (!value || y == null || value.z === null || Math.abs(value.z) < 3) return;
    const at = plot.valToPos(middle(each), "x", true);
    const top = plot.valToPos(y, "y", true);
    const up = value.direction === "above" ? -1 : 1;
    ctx.beginPath();
    ctx.moveTo(at - size, top - up * size);
    ctx.lineTo(at + size, top - up * size);
    ctx.lineTo(at, top + up * size);
    ctx.closePath();
    ctx.fill();
    ctx.stroke();
  });
  ctx.restore();
}

// ---- sleep: when, not only how long ----

export interface Night {
  start: number;
  end: number;
}

/** Begin and end of the main sleep in hours about midnight (−1.5 is 22:30), from its middle, its minutes and how much of it was slept. */
export function night(each: Day): Night | null {
  const middle = each.values.get("sleep-midpoint")?.value;
  const minutes = each.values.get("sleep-duration")?.value;
  if (middle == null || minutes == null) return null;
  const slept = each.values.get("sleep-efficiency")?.value ?? 100;
  const half = minutes / 60 / (Math.max(slept, 30) / 100) / 2;
  const centre = middle >= 15 ? middle - 24 : middle;
  return { start: centre - half, end: centre + half };
}

function sleep(days: Day[], x: number[]): Lane | null {
  const nights = days.map(night);
  const known = nights.filter((each) => each !== null);
  if (!known.length) return null;
  const least = Math.min(-2, ...known.map((each) => each.start)) - 0.5;
  const most = Math.max(8, ...known.map((each) => each.end)) + 0.5;
  const low = days.map((each) => about(each.values.get("sleep-midpoint")?.low ?? null));
  const high = days.map((each) => about(each.values.get("sleep-midpoint")?.high ?? null));
  const middles = nights.map((each) => (each ? (each.start + each.end) / 2 : null));
  const around = band();
  return {
    id: "sleep", title: "lane.sleep", unit: "unit.sleep", height: 132, data: [x, low, high, middles],
    series: [...around.series, { stroke: "transparent", points: { show: false } }], bands: around.bands,
    scale: { dir: -1, range: [least, most] },
    ticks: (value) => clock(value),
    over: (plot) => {
      bars(plot, days, nights);
      marks(plot, days, "sleep-midpoint", 3);
    },
  };
}

function about(hours: number | null): number | null {
  return hours !== null && hours >= 15 ? hours - 24 : hours;
}

function bars(plot: uPlot, days: Day[], nights: (Night | null)[]): void {
  const { ctx } = plot;
  const width = Math.max(2 * devicePixelRatio, Math.min(12 * devicePixelRatio, (plot.bbox.width / days.length) * 0.6));
  ctx.save();
  ctx.fillStyle = colour("night");
  nights.forEach((each, index) => {
    if (!each) return;
    const at = plot.valToPos(plot.data[0][index] ?? 0, "x", true);
    const [top, bottom] = [plot.valToPos(each.start, "y", true), plot.valToPos(each.end, "y", true)];
    ctx.beginPath();
    ctx.roundRect(at - width / 2, top, width, bottom - top, Math.min(width / 2, 3 * devicePixelRatio));
    ctx.fill();
  });
  ctx.restore();
}

// ---- questionnaires ----

function scores(days: Day[], x: number[], record: Record_): Lane | null {
  const first = days[0]?.date ?? "";
  const [phq9, gad7]: [Numbers, Numbers] = [x.map(() => null), x.map(() => null)];
  for (const score of record.scores) {
    const index = Math.floor(between(first, score.date) / step(days));
    if (index >= 0 && index < days.length) (score.kind === "phq9" ? phq9 : gad7)[index] = score.value;
  }
  if (phq9.every((value) => value === null) && gad7.every((value) => value === null)) return null;
  const line = (name: string, size: number): uPlot.Series => ({
    stroke: () => colour(name), width: 1.6, spanGaps: true, points: { show: true, size, fill: () => colour(name) },
  });
  return {
    id: "scores", title: "lane.scores", unit: "unit.points", height: 92, data: [x, phq9, gad7],
    series: [line("accent", 6), { ...line("second", 6), dash: [5, 4] }], bands: [], scale: { range: [0, 27] }, ticks: (value) => number(value),
    over: (plot) => ends(plot, [["PHQ-9", 1, "accent"], ["GAD-7", 2, "second"]]),
  };
}

/** Names the lines behind their last points, or before these where there is no room; names that would touch make room for each other. */
function ends(plot: uPlot, names: [string, number, string][]): void {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  const tall = 12 * ratio;
  const found = names.flatMap(([name, series, hue]) => {
    const values = plot.data[series] ?? [];
    const index = values.findLastIndex((value) => value != null);
    return index < 0 ? [] : [{ name, hue, x: plot.valToPos(plot.data[0][index] ?? 0, "x", true), y: plot.valToPos(values[index] ?? 0, "y", true) }];
  }).sort((one, other) => one.y - other.y);
  const [upper, lower] = found;
  if (upper && lower && lower.y - upper.y < tall) {
    const centre = Math.min(Math.max((upper.y + lower.y) / 2, bbox.top + tall), bbox.top + bbox.height - tall);
    [upper.y, lower.y] = [centre - tall / 2, centre + tall / 2];
  }
  ctx.save();
  ctx.font = `${11 * ratio}px system-ui, sans-serif`;
  ctx.textBaseline = "middle";
  ctx.lineWidth = 3 * ratio;
  ctx.strokeStyle = colour("card");
  for (const { name, hue, x, y } of found) {
    const room = x + 8 * ratio + ctx.measureText(name).width <= bbox.left + bbox.width;
    ctx.textAlign = room ? "left" : "right";
    ctx.fillStyle = colour(hue);
    ctx.strokeText(name, x + (room ? 8 : -8) * ratio, y);
    ctx.fillText(name, x + (room ? 8 : -8) * ratio, y);
  }
  ctx.restore();
}

// ---- one plot ----

/** Makes the plot of a lane; `half` are the seconds of half a bucket, `chosen` hears of a span that was dragged; `visits` are drawn through all of them. */
export function plot(lane: Lane, where: HTMLElement, width: number, half: number, visits: string[], last: boolean, moved: (index: number | null) => void, chosen: (from: number, to: number) => void): uPlot {
  const font = "11px system-ui, sans-serif";
  const ink = (): string => colour("soft");
  const options: Options = {
    width, height: lane.height + (last ? 24 : 0), padding: [6, RIGHT, last ? 0 : 4, 0],
    tzDate: (ts) => uPlot.tzDate(new Date(ts * 1000), "UTC"),
    legend: { show: false },
    cursor: { sync: { key: "clarity-days" }, y: false, points: { show: false }, drag: { x: true, y: false, setScale: false, dist: 6 } },
    scales: { x: { time: true, range: (_self, low, high) => [low - half, high + half] }, y: lane.scale },
    series: [{}, ...lane.series],
    bands: lane.bands,
    axes: [
      {
        show: last, size: 24, stroke: ink, font, grid: { show: false }, ticks: { show: false }, space: 70,
        values: (_self, splits) => splits.map((split) => day(new Date(split * 1000).toISOString(), half > 43_200 ? "month" : "axis")),
      },
      {
        size: LEFT, stroke: ink, font, space: 26, gap: 6, ticks: { show: false }, grid: { stroke: () => colour("line"), width: 1 },
        values: (_self, splits) => splits.map(lane.ticks),
        ...(lane.id === "sleep" ? { incrs: [2, 3, 4, 6], space: 22 } : {}),
      },
    ],
    hooks: {
      drawClear: [(self) => lines(self, visits)],
      draw: [lane.over],
      setCursor: [(self) => moved(self.cursor.idx ?? null)],
      setSelect: [(self) => (self.select.width > 0 ? chosen(self.posToVal(self.select.left, "x"), self.posToVal(self.select.left + self.select.width, "x")) : undefined)],
    },
  };
  return new uPlot(options, lane.data, where);
}

function lines(self: uPlot, visits: string[]): void {
  const { ctx } = self;
  ctx.save();
  ctx.strokeStyle = colour("strong-line");
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([3 * devicePixelRatio, 3 * devicePixelRatio]);
  for (const visit of visits) {
    const at = Math.round(self.valToPos(seconds(visit), "x", true)) + 0.5;
    if (at < self.bbox.left || at > self.bbox.left + self.bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(at, self.bbox.top);
    ctx.lineTo(at, self.bbox.top + self.bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}
