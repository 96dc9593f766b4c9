/** What the page reads beside the days of `timeline.ts`, and a state of the twin as it is found by search. */
import type Client from "fhirclient/lib/Client";
import type { Encounter, MedicationRequest, MedicationStatement, Observation, Patient, RiskAssessment } from "fhir/r4";

import { allowed, get } from "../shared/fhir";
import type { Timeline } from "./timeline";

const BASE = "https://fhir.clarity.example";
export const TWIN = `${BASE}/CodeSystem/digital-twin`;
const LOINC = "http://loinc.org";

export interface Value {
  value: number | null;
  /** Why there is no number. */
  reason: string;
  /** Lowest and highest of a bucket of several days; null where they are the value itself. */
  least: number | null;
  most: number | null;
  low: number | null;
  high: number | null;
  spread: number | null;
  /** Against the own baseline; null where there is none yet. */
  direction: "above" | "below" | "within" | null;
  z: number | null;
  zLow: number | null;
  zHigh: number | null;
}

/** A day; or a week, of which a value is the median of the days and the deviation the farthest. */
export interface Day {
  date: string;
  /** Its last day. */
  until: string;
  /** The state that it rests on; "" for a week and where there is none. */
  reference: string;
  values: Map<string, Value>;
  /** Measured part of the day by stream, 0 to 1; a stream that is not in it was not measured. */
  coverage: Map<string, number>;
}

export interface Score {
  date: string;
  value: number;
  reference: string;
  kind: "phq9" | "gad7";
}

export interface Span {
  name: string;
  dose: string;
  start: string;
  end: string | null;
  reference: string;
}

export interface Visit {
  date: string;
  text: string;
  reference: string;
}

export interface Risk {
  date: string;
  text: string;
  rationale: string;
  reference: string;
}

export interface Record_ {
  patient: Patient;
  /** The first day from which on days and scores were read. */
  from: string;
  /** The days that are compared: consecutive local days from the first to the last of which anything is known, oldest first. */
  days: Day[];
  visits: Visit[];
  medications: Span[];
  scores: Score[];
  risks: Risk[];
  /** Types that were not allowed. */
  withheld: string[];
}

const SCORES: Record<string, Score["kind"]> = { "44261-6": "phq9", "70274-6": "gad7" };

/** Reads the record of a patient from a local day on; the days themselves are of `timeline`. */
export async function read(client: Client, patient: string, timeline: Timeline, from: string, today: string): Promise<Record_> {
  const withheld: string[] = [];
  const some = async <T extends Encounter | MedicationRequest | MedicationStatement | RiskAssessment | Observation>(
    type: string,
    query: string,
  ): Promise<T[]> => {
    const found = await allowed<T>(client, `${type}?patient=${patient}&${query}`);
    if (found === null) withheld.push(type);
    return found ?? [];
  };
  const [person, , encounters, statements, requests, answers, risks] = await Promise.all([
    get<Patient>(client, `Patient/${patient}`),
    timeline.load(from, today, "day"),
    some<Encounter>("Encounter", "_sort=-date&_count=200&_elements=status,class,type,period&_total=none"),
    some<MedicationStatement>("MedicationStatement", "_count=100&_total=none"),
    some<MedicationRequest>("MedicationRequest", "_count=100&_total=none"),
    some<Observation>("Observation", `${SCORED}&date=ge${from}`),
    some<RiskAssessment>("RiskAssessment", `${ASSESSED}&_sort=-_lastUpdated&_count=100&_total=none`),
  ]);
  return {
    patient: person, from,
    days: known(timeline.buckets(from, today, "day")),
    visits: encounters.map(visitOf).filter((visit) => visit !== null).sort(byDate),
    medications: spans(statements, requests),
    scores: answers.map(scoreOf).filter((score) => score !== null),
    risks: risks.filter((risk) => !predicted(risk)).map(riskOf).filter((risk) => risk !== null).sort((one, other) => byDate(other, one)),
    withheld,
  };
}

/** What scores of questionnaires are searched by: what is drawn of them, and no more. */
const SCORED = `code=${Object.keys(SCORES).map((code) => encodeURIComponent(`${LOINC}|${code}`)).join(",")}&_sort=date&_count=500&_elements=status,code,value,effective&_total=none`;

/** The scores before a day, as far back as there are any. */
export async function earlier(client: Client, patient: string, before: string): Promise<Score[]> {
  const found = await allowed<Observation>(client, `Observation?patient=${patient}&${SCORED}&date=lt${before}`);
  return (found ?? []).map(scoreOf).filter((score) => score !== null);
}

/** From the first to the last day of which anything is known. */
export function known(days: Day[]): Day[] {
  const there = (each: Day): boolean => each.reference !== "" || each.values.size > 0;
  return days.slice(Math.max(0, days.findIndex(there)), days.findLastIndex(there) + 1);
}

function byDate(one: { date: string }, other: { date: string }): number {
  return one.date < other.date ? -1 : one.date > other.date ? 1 : 0;
}

// ---- days ----

/** What the state of a day is searched by. */
export const STATE = `code=${encodeURIComponent(`${TWIN}|digital-twin-state`)}&status=final`;

type Component = NonNullable<Observation["component"]>[number];

/** What a state says of its day. */
export function dayOf(state: Observation): Day {
  const values = new Map<string, Value>();
  for (const part of state.component ?? []) {
    const code = codeOf(part);
    if (code.endsWith("-deviation")) deviate(values.get(code.slice(0, -"-deviation".length)), part);
    else values.set(code, valueOf(part));
  }
  const told = state.extension?.find((each) => each.url.endsWith("/digital-twin-coverage"))?.extension ?? [];
  return {
    date: (state.effectivePeriod?.start ?? "").slice(0, 10),
    until: (state.effectivePeriod?.start ?? "").slice(0, 10),
    reference: `Observation/${state.id ?? ""}`,
    values,
    coverage: new Map(told.map((each) => [each.url, each.valueDecimal ?? 0])),
  };
}

function codeOf(part: Component): string {
  return part.code.coding?.find((coding) => coding.system === TWIN)?.code ?? "";
}

function valueOf(part: Component): Value {
  const facts = part.extension?.find((each) => each.url.endsWith("/digital-twin-feature"))?.extension ?? [];
  const fact = (url: string): number | null => facts.find((each) => each.url === url)?.valueDecimal ?? null;
  const code = part.interpretation?.[0]?.coding?.[0]?.code;
  const range = part.referenceRange?.[0];
  const median = fact("baselineMedian");
  const spread = fact("baselineSpread");
  const around = median !== null && spread !== null;
  return {
    value: part.valueQuantity?.value ?? null,
    reason: part.dataAbsentReason?.coding?.find((coding) => coding.system === TWIN)?.code ?? "",
    least: null,
    most: null,
    low: range?.low?.value ?? (around ? median - 3 * spread : null),
    high: range?.high?.value ?? (around ? median + 3 * spread : null),
    spread,
    direction: code === "H" ? "above" : code === "L" ? "below" : code === "N" ? "within" : null,
    z: null,
    zLow: null,
    zHigh: null,
  };
}

function deviate(value: Value | undefined, part: Component): void {
  if (!value) return;
  const interval = part.extension?.find((each) => each.url.endsWith("/digital-twin-interval"))?.extension ?? [];
  value.z = part.valueQuantity?.value ?? null;
  value.zLow = interval.find((each) => each.url === "low")?.valueDecimal ?? null;
  value.zHigh = interval.find((each) => each.url === "high")?.valueDecimal ?? null;
}

/** A day some days later, both as local dates. */
export function shift(date: string, days: number): string {
  return new Date(Date.parse(`${date}T00:00:00Z`) + days * 86_400_000).toISOString().slice(0, 10);
}

/** Days from one local date to another. */
export function between(from: string, to: string): number {
  return Math.round((Date.parse(`${to}T00:00:00Z`) - Date.parse(`${from}T00:00:00Z`)) / 86_400_000);
}

// ---- beside the twin ----

function visitOf(encounter: Encounter): Visit | null {
  const date = encounter.period?.start?.slice(0, 10);
  if (!date || !["finished", "in-progress", "arrived", "triaged", "onleave"].includes(encounter.status)) return null;
  const kind = encounter.type?.[0];
  const text = kind?.text ?? kind?.coding?.[0]?.display ?? encounter.class.display ?? encounter.class.code ?? "";
  return { date, text, reference: `Encounter/${encounter.id ?? ""}` };
}

function spans(statements: MedicationStatement[], requests: MedicationRequest[]): Span[] {
  const covered = new Set(statements.flatMap((each) => each.basedOn?.map((one) => one.reference ?? "") ?? []));
  const found: Span[] = [];
  for (const each of statements) {
    const start = each.effectivePeriod?.start ?? each.effectiveDateTime ?? each.dateAsserted;
    if (!start || ["entered-in-error", "not-taken"].includes(each.status)) continue;
    const end = each.effectivePeriod?.end?.slice(0, 10) ?? null;
    found.push(spanOf(each.medicationCodeableConcept, each.dosage, start, end, `MedicationStatement/${each.id ?? ""}`));
  }
  for (const each of requests) {
    const reference = `MedicationRequest/${each.id ?? ""}`;
    if (!each.authoredOn || covered.has(reference) || ["entered-in-error", "draft", "cancelled"].includes(each.status)) continue;
    const end = each.dispenseRequest?.validityPeriod?.end?.slice(0, 10) ?? null;
    found.push(spanOf(each.medicationCodeableConcept, each.dosageInstruction, each.authoredOn, end, reference));
  }
  return found.sort((one, other) => one.name.localeCompare(other.name) || (one.start < other.start ? -1 : 1));
}

function spanOf(
  concept: MedicationRequest["medicationCodeableConcept"],
  dosage: MedicationRequest["dosageInstruction"],
  start: string,
  end: string | null,
  reference: string,
): Span {
  const name = concept?.text ?? concept?.coding?.[0]?.display ?? concept?.coding?.[0]?.code ?? "?";
  return { name, dose: dosage?.[0]?.text ?? "", start: start.slice(0, 10), end, reference };
}

function scoreOf(observation: Observation): Score | null {
  const code = observation.code.coding?.find((coding) => coding.system === LOINC && (coding.code ?? "") in SCORES)?.code;
  const kind = code ? SCORES[code] : undefined;
  const value = observation.valueQuantity?.value ?? observation.valueInteger;
  const date = (observation.effectiveDateTime ?? observation.effectivePeriod?.start)?.slice(0, 10);
  if (!kind || value === undefined || !date || observation.status === "entered-in-error") return null;
  return { date, value, kind, reference: `Observation/${observation.id ?? ""}` };
}

/** What models are for, as `RiskAssessment.method` says it. */
export const USES = ["risk-prediction", "treatment-response", "outcome-prediction", "forecast"];

/**
 * What assessments are searched by: all that is no model's answer of a night. Not by `date`, which in R4 finds an `occurrenceDateTime`
 * and never the period of a day that the twin says.
 */
export const ASSESSED = `method:not=${encodeURIComponent(USES.map((use) => `${TWIN}|${use}`).join(","))}`;

/** Whether an assessment is a model's answer, not a crossing of the twin's own rules. */
export function predicted(risk: RiskAssessment): boolean {
  return risk.code?.coding?.some((coding) => coding.system === TWIN && coding.code === "prediction") ?? false;
}

/** An assessment as it is shown; null where it has no day or is none any more. */
export function riskOf(risk: RiskAssessment): Risk | null {
  const date = (risk.occurrencePeriod?.start ?? risk.occurrenceDateTime)?.slice(0, 10);
  if (!date || !["preliminary", "registered", "final", "amended"].includes(risk.status)) return null;
  const prediction = risk.prediction?.[0];
  const text = risk.method?.coding?.[0]?.display ?? risk.code?.coding?.[0]?.display ?? "";
  return { date, text, rationale: prediction?.rationale ?? "", reference: `RiskAssessment/${risk.id ?? ""}` };
}
