/** How much a feature moved between two periods: Hodges–Lehmann shift with its rank interval, which few strange days cannot bend. */
import type { Day } from "./data";
import type { Shown } from "./features";

export interface Change {
  feature: Shown;
  /** Medians of the two periods. */
  now: number | null;
  before: number | null;
  shift: number | null;
  low: number | null;
  high: number | null;
  /** The shift in usual day-to-day spreads, for sorting. */
  size: number;
  weight: "strong" | "some" | "steady" | "few";
  measured: number;
  days: number;
  used: Day[];
  /** Why days have no number, by reason. */
  missing: Map<string, number>;
}

const FEWEST = 3;
const Z95 = 1.96;

/** Compares the days of a period with those of the one before. */
export function change(feature: Shown, now: Day[], before: Day[]): Change {
  const [one, other] = [numbers(feature, now), numbers(feature, before)];
  const missing = new Map<string, number>();
  for (const day of now) {
    const value = day.values.get(feature.code);
    if (value?.value != null) continue;
    const reason = value?.reason || (day.reference ? "no-data" : "no-state");
    missing.set(reason, (missing.get(reason) ?? 0) + 1);
  }
  const base = {
    feature, now: wrapped(feature, median(one)), before: wrapped(feature, median(other)),
    measured: one.length, days: now.length, missing,
    used: now.filter((day) => day.values.get(feature.code)?.value != null),
  };
  if (one.length < FEWEST || other.length < FEWEST) {
    return { ...base, shift: null, low: null, high: null, size: 0, weight: "few" };
  }
  const { shift, low, high } = moved(one, other);
  const spread = usual(feature, now, other);
  const size = Math.abs(shift) / spread;
  const apart = low > 0 || high < 0;
  return { ...base, shift, low, high, size, weight: apart && size > 1 ? "strong" : apart ? "some" : "steady" };
}

/** Hodges–Lehmann estimate of a shift and its 95 % interval (Moses): medians and ranks of all pairwise differences. */
export function moved(one: number[], other: number[]): { shift: number; low: number; high: number } {
  const pairs = one.flatMap((a) => other.map((b) => a - b)).sort((a, b) => a - b);
  const [m, n] = [one.length, other.length];
  const cut = Math.max(0, Math.floor((m * n) / 2 - Z95 * Math.sqrt((m * n * (m + n + 1)) / 12)));
  const at = (index: number): number => pairs[Math.min(pairs.length - 1, Math.max(0, index))] ?? 0;
  return { shift: median(pairs) ?? 0, low: at(cut), high: at(pairs.length - 1 - cut) };
}

export function median(values: number[]): number | null {
  if (!values.length) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}

/** Hours of the day are turned about noon, so that 23:30 and 00:30 lie an hour apart. */
function numbers(feature: Shown, days: Day[]): number[] {
  const found: number[] = [];
  for (const day of days) {
    const value = day.values.get(feature.code)?.value;
    if (value != null) found.push(feature.circular && value >= 12 ? value - 24 : value);
  }
  return found;
}

function wrapped(feature: Shown, value: number | null): number | null {
  return value !== null && feature.circular ? (value + 24) % 24 : value;
}

/** The usual spread from day to day: the server's own where it tells one, else that of the time before. */
function usual(feature: Shown, days: Day[], before: number[]): number {
  const told = days.map((day) => day.values.get(feature.code)?.spread).filter((spread) => spread != null);
  const middle = median(before) ?? 0;
  const mad = median(before.map((value) => Math.abs(value - middle))) ?? 0;
  return median(told) || mad * 1.4826 || 1;
}
