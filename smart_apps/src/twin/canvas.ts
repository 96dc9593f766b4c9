/** Draws the rows of the actogram that are in view: bars, sleep, what was not measured, L5 and M10, the cursor. */
import { clock, day } from "../shared/language";
import { colour } from "../shared/theme";
import { type Active, BINS } from "./activity";
import { shift } from "./data";

export const [LEFT, TOP, ROW] = [58, 20, 20];
const RIGHT = 2;
const BAR = 15;
const HOURS = 24;

export interface Scene {
  /** Days of the rows, the first at the top of all. */
  rows: string[];
  day: (date: string) => Active | undefined;
  /** The sum at full height. */
  tall: number;
  /** Whether a row goes on with the day after it. */
  twice: boolean;
  today: string;
  /** Pixels that are scrolled away. */
  top: number;
  cursor: { row: number; bin: number } | null;
}

/** Pixels of a whole picture. */
export function height(rows: number): number {
  return TOP + rows * ROW + 2;
}

/** Pixels of an hour. */
function hour(width: number, scene: Scene): number {
  return (width - LEFT - RIGHT) / (scene.twice ? 2 * HOURS : HOURS);
}

/** Row and part of the row under a point of the canvas; null outside. */
export function under(scene: Scene, width: number, x: number, y: number): { row: number; bin: number } | null {
  const [row, bin] = [Math.floor((y - TOP + scene.top) / ROW), Math.floor(((x - LEFT) / hour(width, scene) / HOURS) * BINS)];
  return y >= TOP && row >= 0 && row < scene.rows.length && bin >= 0 && bin < (scene.twice ? 2 : 1) * BINS ? { row, bin } : null;
}

/** The rows in view, the first and the last. */
export function inView(scene: Scene, tall: number): [number, number] {
  const last = scene.rows.length - 1;
  return [Math.min(last, Math.max(0, Math.floor(scene.top / ROW))), Math.min(last, Math.max(0, Math.ceil((scene.top + tall - TOP) / ROW) - 1))];
}

export function paint(canvas: HTMLCanvasElement, width: number, tall: number, scene: Scene): void {
  const ratio = devicePixelRatio;
  [canvas.width, canvas.height] = [Math.round(width * ratio), Math.round(tall * ratio)];
  const ctx = canvas.getContext("2d")!;
  ctx.scale(ratio, ratio);
  const pen = new Pen(ctx, hour(width, scene), hatch(ctx));
  const [first, last] = inView(scene, tall);
  for (let row = first; row <= last; row += 1) {
    const y = TOP + row * ROW - scene.top;
    const date = scene.rows[row]!;
    pen.label(date, y, scene);
    for (let half = 0; half < (scene.twice ? 2 : 1); half += 1) pen.half(scene, shift(date, half), half, y);
  }
  if (scene.cursor) pen.cursor(scene.cursor, scene, width);
  ctx.clearRect(0, 0, width, TOP);
  pen.hours(scene, tall);
}

/** Stripes for what was not measured. */
function hatch(ctx: CanvasRenderingContext2D): CanvasPattern {
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const pen = tile.getContext("2d")!;
  pen.strokeStyle = colour("strong-line");
  pen.lineWidth = 1;
  pen.beginPath();
  for (const from of [-6, 0, 6]) {
    pen.moveTo(from, 6);
    pen.lineTo(from + 6, 0);
  }
  pen.stroke();
  return ctx.createPattern(tile, "repeat")!;
}

/** One picture: hours become pixels. */
class Pen {
  private readonly soft = colour("soft");
  private readonly colours = new Map(["accent", "night", "second", "line", "strong-line", "ink", "warn"].map((name) => [name, colour(name)]));

  constructor(
    private readonly ctx: CanvasRenderingContext2D,
    private readonly hour: number,
    private readonly hatched: CanvasPattern,
  ) {
    ctx.font = "11px system-ui, sans-serif";
    ctx.textBaseline = "alphabetic";
  }

  private x(hours: number): number {
    return Math.round(LEFT + hours * this.hour);
  }

  private fill(name: string): void {
    this.ctx.fillStyle = this.colours.get(name) ?? this.soft;
  }

  /** The day at the left: where a week begins, and the first in view. */
  label(date: string, y: number, scene: Scene): void {
    const monday = new Date(`${date}T00:00:00Z`).getUTCDay() === 1;
    if (!monday && scene.rows.length > 7) return;
    this.ctx.fillStyle = this.soft;
    this.ctx.textAlign = "right";
    this.ctx.fillText(day(date, "axis"), LEFT - 6, y + BAR - 2);
  }

  /** One day in one half of a row. */
  half(scene: Scene, date: string, half: number, y: number): void {
    const from = half * HOURS;
    this.fill("line");
    this.ctx.fillRect(this.x(from), y + BAR, this.x(from + HOURS) - this.x(from), 1);
    if (date > scene.today) return;
    const told = scene.day(date);
    this.sleep(told, scene.day(shift(date, 1)), from, y);
    if (!told) return;
    this.gaps(told, date === scene.today, from, y);
    this.bars(told, scene.tall, from, y);
    this.window(told.m10, 10, from, y, true);
    this.window(told.l5, 5, from, y, false);
  }

  /** The night that ends on the day, and the evening of the one that ends on the next. */
  private sleep(told: Active | undefined, next: Active | undefined, from: number, y: number): void {
    this.fill("night");
    this.ctx.globalAlpha = 0.45;
    for (const [night, midnight] of [[told?.night, 0], [next?.night, HOURS]] as const) {
      if (night) this.span(night.start + midnight, night.end + midnight, from, y, BAR);
    }
    this.ctx.globalAlpha = 1;
  }

  private span(start: number, end: number, from: number, y: number, tall: number): void {
    const [left, right] = [Math.max(0, start), Math.min(HOURS, end)];
    if (right > left) this.ctx.fillRect(this.x(from + left), y, Math.max(1, this.x(from + right) - this.x(from + left)), tall);
  }

  private gaps(told: Active, open: boolean, from: number, y: number): void {
    this.ctx.fillStyle = this.hatched;
    for (const gap of told.gaps) {
      if (open && gap.last === BINS - 1) continue; // what is still to come is no gap
      this.span((gap.first * HOURS) / BINS, ((gap.last + 1) * HOURS) / BINS, from, y, BAR);
    }
  }

  private bars(told: Active, tall: number, from: number, y: number): void {
    this.fill("accent");
    told.bins.forEach((value, bin) => {
      if (!(value > 0)) return;
      const up = Math.max(1, Math.round(Math.min(1, value / tall) * BAR));
      const [left, right] = [this.x(from + (bin * HOURS) / BINS), this.x(from + ((bin + 1) * HOURS) / BINS)];
      this.ctx.fillRect(left, y + BAR - up, Math.max(1, right - left), up);
    });
  }

  /** Hours from an onset on the clock, round midnight: full for the most active ones, hollow for the least. */
  private window(onset: number | null, length: number, from: number, y: number, full: boolean): void {
    if (onset === null) return;
    const ctx = this.ctx;
    ctx.fillStyle = ctx.strokeStyle = this.colours.get(full ? "warn" : "second") ?? this.soft;
    ctx.lineWidth = 1;
    for (const start of [onset, onset - HOURS]) {
      const [left, right] = [Math.max(0, start), Math.min(HOURS, start + length)];
      if (right <= left) continue;
      const [x, wide] = [this.x(from + left), this.x(from + right) - this.x(from + left)];
      if (full) ctx.fillRect(x, y + BAR + 1, wide, 3);
      else ctx.strokeRect(x + 0.5, y + BAR + 1.5, wide - 1, 2);
    }
  }

  cursor(at: { row: number; bin: number }, scene: Scene, width: number): void {
    const { ctx } = this;
    const y = TOP + at.row * ROW - scene.top;
    ctx.strokeStyle = this.colours.get("ink") ?? this.soft;
    ctx.lineWidth = 1;
    ctx.strokeRect(LEFT - 0.5, y - 0.5, width - LEFT - RIGHT + 1, ROW - 1);
    ctx.beginPath();
    const x = this.x(((at.bin + 0.5) * HOURS) / BINS) + 0.5;
    ctx.moveTo(x, y);
    ctx.lineTo(x, y + ROW - 1);
    ctx.stroke();
  }

  /** The hours above all rows, and lines down through them. */
  hours(scene: Scene, tall: number): void {
    const { ctx } = this;
    const all = scene.twice ? 2 * HOURS : HOURS;
    const bottom = Math.min(tall, TOP + scene.rows.length * ROW - scene.top);
    for (let at = 0; at <= all; at += this.hour * 3 < 44 ? 6 : 3) {
      ctx.fillStyle = this.colours.get(at % HOURS ? "line" : "strong-line") ?? this.soft;
      ctx.fillRect(this.x(at) - (at === all ? 1 : 0), TOP - 4, 1, bottom - TOP + 4);
      ctx.fillStyle = this.soft;
      ctx.textAlign = at === all ? "right" : "center";
      ctx.fillText(clock(at), this.x(at), TOP - 7);
    }
  }
}
