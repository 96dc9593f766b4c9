/**
 * Days and weeks of the twin from `$timeline`: asked for by window in pieces that are kept, so that a number crosses the network once
 * and an answer stays as small as what is drawn of it, however many years there are.
 */
import type Client from "fhirclient/lib/Client";
import type { Parameters, ParametersParameter } from "fhir/r4";

import { get } from "../shared/fhir";
import { type Day, type Value, between, shift } from "./data";
import { FEATURES } from "./features";

export type Resolution = "day" | "week";

/** A span of this many days is shown by the day; a longer one by the week. */
export const DAILY = 400;
/** Days of a bucket, and of a piece that is asked for as a whole. */
const STEP: Record<Resolution, number> = { day: 1, week: 7 };
const PIECE: Record<Resolution, number> = { day: 28, week: 7 * 26 };
/** Buckets count from a Monday, so that a week is the same week in every answer. */
const MONDAY = "1970-01-05";
const SERIES = FEATURES.map((feature) => feature.code).join(",");
/** A day is far from the own baseline from here on, if its interval leaves out 0 (as the twin has it). */
const FAR = 3;

/** The resolution in which a span is drawn. */
export function fitting(first: string, last: string): Resolution {
  return between(first, last) < DAILY ? "day" : "week";
}

/** What is known of one patient; today is the last day that is asked for. */
export class Timeline {
  private readonly pieces: Record<Resolution, Map<number, Promise<void>>> = { day: new Map(), week: new Map() };
  private readonly whole: Record<Resolution, Set<number>> = { day: new Set(), week: new Set() };
  private readonly known: Record<Resolution, Map<string, Day>> = { day: new Map(), week: new Map() };

  constructor(
    private readonly client: Client,
    private readonly patient: string,
    private readonly today: string,
  ) {}

  /** Whether a span was read already. */
  has(first: string, last: string, resolution: Resolution): boolean {
    const [from, to] = [this.piece(first, resolution), this.piece(last < this.today ? last : this.today, resolution)];
    return Array.from({ length: to - from + 1 }, (_, on) => this.whole[resolution].has(from + on)).every(Boolean);
  }

  /** Reads what is not here yet of a span; pieces that lie side by side come in one answer. */
  async load(first: string, last: string, resolution: Resolution): Promise<void> {
    const [from, to] = [this.piece(first, resolution), this.piece(last < this.today ? last : this.today, resolution)];
    const there = this.pieces[resolution];
    for (let at = from; at <= to; at += 1) {
      if (there.has(at)) continue;
      const asked = [at];
      while (at < to && !there.has(at + 1)) asked.push((at += 1));
      const reading = this.read(asked[0]!, at, resolution);
      for (const one of asked) there.set(one, reading);
      reading.catch(() => asked.forEach((one) => there.delete(one))); // whoever asks again tries again
    }
    await Promise.all(Array.from({ length: to - from + 1 }, (_, on) => there.get(from + on)));
  }

  /** The buckets of a span, one after the other; one of which nothing is known has no values. */
  buckets(first: string, last: string, resolution: Resolution): Day[] {
    const step = STEP[resolution];
    const found: Day[] = [];
    for (let date = shift(MONDAY, Math.floor(between(MONDAY, first) / step) * step); date <= last; date = shift(date, step)) {
      found.push(this.known[resolution].get(date) ?? blank(date, step));
    }
    return found;
  }

  private piece(date: string, resolution: Resolution): number {
    return Math.floor(between(MONDAY, date) / PIECE[resolution]);
  }

  private async read(from: number, to: number, resolution: Resolution): Promise<void> {
    const first = shift(MONDAY, from * PIECE[resolution]);
    const end = shift(MONDAY, (to + 1) * PIECE[resolution] - 1);
    const last = end < this.today ? end : this.today;
    if (first > last) return;
    const include = resolution === "day" ? "feature,stream,states" : "feature,stream";
    const query = `start=${first}&end=${last}&resolution=${resolution}&include=${include}&series=${SERIES}`;
    const answer = await get<Parameters>(this.client, `Patient/${this.patient}/$timeline?${query}`);
    for (const day of days(answer, first, STEP[resolution])) this.known[resolution].set(day.date, day);
    for (let at = from; at <= to; at += 1) this.whole[resolution].add(at);
  }

  /** The states of the days of a bucket, which an answer by the week leaves out. */
  async states(bucket: Day): Promise<{ date: string; reference: string }[]> {
    await this.load(bucket.date, bucket.until, "day");
    return this.buckets(bucket.date, bucket.until, "day").filter((day) => day.reference && day.date >= bucket.date && day.date <= bucket.until);
  }
}

function blank(date: string, step: number): Day {
  return { date, until: shift(date, step - 1), reference: "", values: new Map(), coverage: new Map() };
}

// ---- an answer ----

export function part(parameter: ParametersParameter | undefined, name: string): ParametersParameter | undefined {
  return parameter?.part?.find((each) => each.name === name);
}

/** The rows of a series, each with a number for each of its columns; null where nothing is known. */
export function rows(parameter: ParametersParameter | undefined, name: string): (number | null)[][] {
  const sampled = part(part(parameter, name), "points")?.valueSampledData;
  const [origin, factor, width] = [sampled?.origin.value ?? 0, sampled?.factor ?? 1, sampled?.dimensions ?? 1];
  const numbers = (sampled?.data ?? "").split(" ").filter(Boolean).map((text) => (Number.isNaN(Number(text)) ? null : origin + factor * Number(text)));
  return Array.from({ length: Math.ceil(numbers.length / width) }, (_, at) => numbers.slice(at * width, at * width + width));
}

/** What an answer says of its buckets, those of which it says nothing left out. */
export function days(answer: Parameters, first: string, step: number): Day[] {
  const told = new Map<number, Day>();
  const bucket = (at: number): Day => {
    const there = told.get(at) ?? blank(shift(first, at * step), step);
    told.set(at, there);
    return there;
  };
  for (const each of answer.parameter ?? []) {
    if (each.name === "feature") feature(each, bucket);
    if (each.name === "stream") stream(each, bucket);
    for (const source of each.name === "states" ? (each.part ?? []) : []) {
      const at = part(source, "bucket")?.valueInteger;
      if (at !== undefined) bucket(at).reference = part(source, "reference")?.valueReference?.reference ?? "";
    }
  }
  return [...told.values()];
}

function stream(told: ParametersParameter, bucket: (at: number) => Day): void {
  const code = part(told, "code")?.valueCode ?? "";
  rows(told, "coverage").forEach(([measured], at) => {
    if (measured != null && measured > 0) bucket(at).coverage.set(code, measured);
  });
}

function feature(told: ParametersParameter, bucket: (at: number) => Day): void {
  const code = part(told, "code")?.valueCode ?? "";
  const [band, far] = [rows(told, "band"), rows(told, "deviation")];
  rows(told, "values").forEach(([least, middle, most], at) => {
    if (middle == null) return;
    const value = number(middle, band[at] ?? [], far[at] ?? []);
    if (least != null && most != null && most > least) [value.least, value.most] = [least, most];
    bucket(at).values.set(code, value);
  });
  for (const gap of (told.part ?? []).filter((each) => each.name === "gap")) {
    const [from, to, reason] = [part(gap, "first")?.valueInteger ?? 0, part(gap, "last")?.valueInteger ?? -1, part(gap, "reason")?.valueCode ?? ""];
    if (reason !== "no-data") for (let at = from; at <= to; at += 1) bucket(at).values.set(code, { ...number(null, band[at] ?? [], []), reason });
  }
}

function number(value: number | null, [low, high]: (number | null)[], [z, zLow, zHigh]: (number | null)[]): Value {
  const beyond = z != null && zLow != null && zHigh != null && Math.abs(z) >= FAR && (zLow > 0 || zHigh < 0);
  return {
    value, reason: "", least: null, most: null,
    low: low ?? null, high: high ?? null, spread: low != null && high != null ? (high - low) / 6 : null,
    direction: z == null ? null : !beyond ? "within" : z > 0 ? "above" : "below",
    z: z ?? null, zLow: zLow ?? null, zHigh: zHigh ?? null,
  };
}
