/** The features that the page shows, in the order of their weight in the thirty seconds. */
import { clock, number, type Word } from "../shared/language";

export interface Shown {
  code: string;
  /** Whether a clinician looks at it first: it gets a card even when nothing changed. */
  first: boolean;
  decimals: number;
  unit: string;
  /** Hours of the day, which wrap at midnight. */
  circular?: boolean;
  /** Minutes, which are shown as hours and minutes. */
  minutes?: boolean;
}

export const FEATURES: readonly Shown[] = [
  { code: "sleep-duration", first: true, decimals: 0, unit: "", minutes: true },
  { code: "sleep-midpoint", first: true, decimals: 2, unit: "", circular: true },
  { code: "steps", first: true, decimals: 0, unit: "" },
  { code: "resting-heart-rate", first: true, decimals: 0, unit: "/min" },
  { code: "activity-mean", first: false, decimals: 0, unit: "/min" },
  { code: "hrv-rmssd", first: false, decimals: 0, unit: "ms" },
  { code: "hrv-sdnn", first: false, decimals: 0, unit: "ms" },
  { code: "sleep-efficiency", first: false, decimals: 0, unit: "%" },
  { code: "sleep-regularity-index", first: false, decimals: 0, unit: "" },
  { code: "relative-amplitude", first: false, decimals: 2, unit: "" },
];

export const BY_CODE = new Map(FEATURES.map((feature) => [feature.code, feature]));

/** A value as a reader says it: 7 h 25 min, 03:10, 8,412. */
export function said(feature: Shown, value: number): string {
  if (feature.circular) return clock(value);
  if (feature.minutes) return duration(value);
  return `${number(value, feature.decimals)}${feature.unit ? ` ${feature.unit}` : ""}`;
}

/** A difference: −1 h 05 min, +800. */
export function difference(feature: Shown, value: number): string {
  const sign = value < 0 ? "−" : "+";
  if (feature.circular) return `${sign}${duration(Math.abs(value) * 60)}`;
  if (feature.minutes) return `${sign}${duration(Math.abs(value))}`;
  return `${sign}${number(Math.abs(value), feature.decimals)}${feature.unit ? ` ${feature.unit}` : ""}`;
}

function duration(minutes: number): string {
  const whole = Math.round(minutes);
  const hours = Math.floor(whole / 60);
  return hours ? `${hours} h ${String(whole % 60).padStart(2, "0")} min` : `${whole} min`;
}

export function title(code: string): Word {
  return `feature.${code}` as Word;
}
