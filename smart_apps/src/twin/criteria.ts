/** What a criterion of an alert rule said, in the words and units of the page instead of those of the rule. */
import type { Extension } from "fhir/r4";

import { named, number, signed, t, type Word } from "../shared/language";
import { BY_CODE, difference, said } from "./features";

export interface Criterion {
  holds: boolean;
  text: string;
}

const SIGNS: Record<string, string> = { "<=": "≤", ">=": "≥", "<": "<", ">": ">" };
/** What UCUM codes are called; what is not here stands as it is. */
const UNITS: Record<string, Word | ""> = {
  "1": "", "{score}": "ucum.score", "{steps}": "ucum.steps", "{counts}": "ucum.counts", "{counts}/min": "ucum.counts-min",
  "/min": "ucum.per-min", d: "ucum.days", h: "ucum.hours", min: "ucum.minutes",
};

/** One criterion of the extension `alert-evidence`. */
export function criterion(given: Extension): Criterion {
  const part = (name: string): Extension | undefined => given.extension?.find((each) => each.url === name);
  const code = (name: string): string => part(name)?.valueCode ?? "";
  const [value, metric, of] = [part("number")?.valueDecimal ?? null, code("metric"), code("of")];
  const [limit, known, why] = ["limit", "known", "reason"].map((name) => part(name)?.valueString ?? "");
  const facts = [
    value === null ? "" : amount(value, metric, of, code("unit")),
    limit ? t("alert.limit", { limit: bound(limit, of) }) : "",
    known && !whole(known) ? t("alert.known", { known: known.replace("of", t("of")) }) : "",
    why ?? "",
  ];
  return { holds: code("outcome") === "true", text: `${title(metric, of) || code("name") || "?"}: ${facts.filter(Boolean).join(", ")}` };
}

function title(metric: string, of: string): string {
  const name = metric && named("metric", metric, named("feature", metric, metric));
  return name && (of && of !== "value" ? t(`criterion.${of}` as Word, { name }) : name);
}

/** A number in the unit of its metric; a deviation counts usual spreads. */
function amount(value: number, metric: string, of: string, unit: string): string {
  const feature = BY_CODE.get(metric);
  const decimals = Number.isInteger(value) ? 0 : 1;
  if (of === "deviation") return t("criterion.spreads", { value: signed(value, 1) });
  if (of === "measured") return `${number(value * 100)} %`;
  if (feature && of === "change") return difference(feature, value);
  if (feature && of === "value") return said(feature, value);
  const text = of === "change" ? signed(value, decimals) : number(value, decimals);
  return `${text} ${unitOf(of === "age" ? "d" : unit)}`.trim();
}

/** A limit as the rule has it, `<= -1.5 h`. */
function bound(limit: string, of: string): string {
  const [, sign, value, unit] = /^([<>]=?) (-?[\d.]+) ?(.*)$/.exec(limit) ?? [];
  if (!sign || value === undefined) return limit;
  const decimals = value.split(".")[1]?.length ?? 0;
  const text = Number(value) < 0 ? signed(Number(value), decimals) : number(Number(value), decimals);
  return `${SIGNS[sign] ?? sign} ${text} ${of === "deviation" ? "" : unitOf(unit ?? "")}`.trim();
}

function unitOf(code: string): string {
  const word = UNITS[code];
  return word === undefined ? code : word && t(word);
}

/** Whether nothing of what was asked for is missing: `3 of 3`. */
function whole(known: string): boolean {
  const [some, all] = known.split(" of ");
  return some === all;
}
