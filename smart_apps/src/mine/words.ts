/** A comparison in sentences: what was, next to what is usual, how sure, what is missing and why. */
import { named, t, type Word } from "../shared/language";
import type { Change } from "../twin/change";
import { type Shown, difference, said } from "../twin/features";

/** A value without the units that only specialists read: hours and minutes stay, counts a minute are a plain number. */
export function told(feature: Shown, value: number): string {
  return said({ ...feature, unit: "" }, value);
}

/** The name of a feature as a person would say it. */
export function heading(change: Change): string {
  return t(`mine.${change.feature.code}` as Word);
}

/** What was lately, and before. */
export function lately(change: Change): string {
  const { feature, now, before } = change;
  const first = now === null ? "" : t(`mine.now.${feature.code}` as Word, { value: told(feature, now) });
  const second = before === null ? "" : t("mine.before", { value: told(feature, before) });
  return `${first} ${second}`.trim();
}

/** Whether that differs from the usual. */
export function verdict(change: Change): string {
  const { feature, shift, weight } = change;
  if (shift === null) return t("mine.few");
  if (weight === "steady") return t("mine.steady");
  return t(weight === "strong" ? "mine.clear" : "mine.little", { by: size(feature, shift), way: way(feature, shift) });
}

/** How sure that is, with the interval. */
export function sure(change: Change): string {
  const { feature, low, high, weight } = change;
  if (low === null || high === null) return t("mine.sure.few");
  return t(`mine.sure.${weight}` as Word, { span: span(feature, low, high) });
}

/** An interval in words: between 7 min and 1 h 09 min less; between 20 less and 119 more. */
function span(feature: Shown, low: number, high: number): string {
  const [one, other] = [low, high].map((each) => ({ by: size(feature, each), way: way(feature, each) })) as [Said, Said];
  if (low < 0 && high > 0) return t("mine.span.both", { one: `${one.by} ${one.way}`, other: `${other.by} ${other.way}` });
  const [near, far] = Math.abs(low) < Math.abs(high) ? [one, other] : [other, one];
  return t("mine.span.same", { near: near.by, far: far.by, way: far.way });
}

interface Said {
  by: string;
  way: string;
}

/** A difference without its sign. */
function size(feature: Shown, by: number): string {
  return difference({ ...feature, unit: "" }, by).slice(1);
}

function way(feature: Shown, by: number): string {
  return t(feature.circular ? (by > 0 ? "mine.later" : "mine.earlier") : by > 0 ? "mine.more" : "mine.less");
}

/** Why days are missing, the most frequent reason first. */
export function absent(change: Change): string {
  return [...change.missing]
    .sort((one, other) => other[1] - one[1])
    .map(([reason, count]) => t("mine.missing.one", { count, reason: named("mine.reason", reason, named("reason", reason, reason)) }))
    .join(", ");
}
