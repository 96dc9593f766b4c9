/** Activity in parts of a day from `$timeline`: read in pieces of a few days when they are looked at, and kept. */
import type Client from "fhirclient/lib/Client";
import type { Parameters, ParametersParameter } from "fhir/r4";

import { get } from "../shared/fhir";
import { type Day, between, shift } from "./data";
import { type Night, night } from "./lanes";
import { days, part, rows } from "./timeline";

/** Minutes of a part, and parts of a day. */
export const BIN = 5;
export const BINS = 1440 / BIN;
/** Days of an answer: as many as the server's 3,000 points allow. */
const PIECE = 10;
const FROM = "1970-01-01";
const FEATURES = "sleep-duration,sleep-midpoint,sleep-efficiency,l5-onset,m10-onset,activity-mean,steps";
/** Of a piece what is drawn at full height: one wild minute does not flatten the others. */
const TALL = 0.98;

/** Parts in a row without a number, with the reason of the server. */
export interface Gap {
  first: number;
  last: number;
  reason: string;
}

export interface Active {
  date: string;
  /** The state of the day, "" where there is none. */
  reference: string;
  /** Sum of each part; NaN where nothing was measured, which is not 0. */
  bins: Float32Array;
  gaps: Gap[];
  total: number | null;
  /** Measured part of the day, 0 to 1. */
  measured: number;
  /** The main sleep that ends on the day, in hours about its midnight. */
  night: Night | null;
  /** Local hours at which the least active 5 and the most active 10 hours begin, of the week that ends with the day. */
  l5: number | null;
  m10: number | null;
}

/** What is known of one stream of a patient. */
export class Activity {
  private readonly pieces = new Map<number, Promise<void>>();
  private readonly known = new Map<string, Active>();
  private readonly heights: number[] = [];

  constructor(
    private readonly client: Client,
    private readonly patient: string,
    private readonly today: string,
    readonly stream: string,
  ) {}

  day(date: string): Active | undefined {
    return this.known.get(date);
  }

  /** The sum that is drawn at full height: the middle of what the pieces have for it. */
  get tall(): number {
    return [...this.heights].sort((one, other) => one - other)[this.heights.length >> 1] || 1;
  }

  /** Whether all days of a span are here. */
  has(first: string, last: string): boolean {
    return !this.wanted(first, last).some((at) => !this.known.has(shift(FROM, at * PIECE)));
  }

  /** Reads the pieces of a span that are not here yet. */
  async load(first: string, last: string): Promise<void> {
    await Promise.all(
      this.wanted(first, last).map((at) => {
        const there = this.pieces.get(at);
        if (there) return there;
        const reading = this.read(shift(FROM, at * PIECE));
        this.pieces.set(at, reading);
        reading.catch(() => this.pieces.delete(at)); // whoever asks again tries again
        return reading;
      }),
    );
  }

  private wanted(first: string, last: string): number[] {
    const piece = (date: string): number => Math.floor(between(FROM, date) / PIECE);
    const [from, to] = [piece(first), piece(last < this.today ? last : this.today)];
    return Array.from({ length: Math.max(0, to - from + 1) }, (_, on) => from + on);
  }

  private async read(first: string): Promise<void> {
    const end = [shift(first, PIECE - 1), this.today].sort()[0]!;
    const query = `start=${first}&end=${end}&resolution=five-minutes&include=signal,feature,states&series=${[...new Set([this.stream, ...FEATURES.split(",")])].join(",")}`;
    const answer = await get<Parameters>(this.client, `Patient/${this.patient}/$timeline?${query}`);
    const signal = answer.parameter?.find((each) => each.name === "signal" && part(each, "code")?.valueCode === this.stream);
    const told = new Map(days(answer, first, 1).map((each) => [each.date, each]));
    const totals = rows(signal, "total").map((row) => row[0] ?? NaN);
    for (let on = 0; on <= between(first, end); on += 1) {
      const date = shift(first, on);
      this.known.set(date, active(date, told.get(date), Float32Array.from(totals.slice(on * BINS, (on + 1) * BINS)), gapsOf(signal, on * BINS)));
    }
    const some = totals.filter((value) => value > 0).sort((one, other) => one - other);
    if (some.length) this.heights.push(some[Math.floor(some.length * TALL)]!);
  }
}

function gapsOf(signal: ParametersParameter | undefined, from: number): Gap[] {
  if (!signal) return [{ first: 0, last: BINS - 1, reason: "no-data" }];
  const told = (signal.part ?? []).filter((each) => each.name === "gap").map((gap) => ({
    first: Math.max(0, (part(gap, "first")?.valueInteger ?? 0) - from),
    last: Math.min(BINS - 1, (part(gap, "last")?.valueInteger ?? -1) - from),
    reason: part(gap, "reason")?.valueCode ?? "no-data",
  }));
  return told.filter((gap) => gap.first <= gap.last);
}

function active(date: string, told: Day | undefined, bins: Float32Array, gaps: Gap[]): Active {
  const known = bins.filter((value) => !Number.isNaN(value));
  return {
    date, gaps,
    reference: told?.reference ?? "",
    bins: bins.length ? bins : new Float32Array(BINS).fill(NaN),
    total: known.length ? known.reduce((sum, value) => sum + value, 0) : null,
    measured: known.length / BINS,
    night: told ? night(told) : null,
    l5: told?.values.get("l5-onset")?.value ?? null,
    m10: told?.values.get("m10-onset")?.value ?? null,
  };
}
