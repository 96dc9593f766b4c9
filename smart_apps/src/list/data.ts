/**
 * The caseload in five searches, however many patients there are: who they are, who has a twin at all, the states of the last
 * days without their numbers, those states that deviate strongly with their numbers (the server picks them), and of what was
 * assessed since then what no model says: an assessment of a day is written after it.
 */
import type Client from "fhirclient/lib/Client";
import type { Observation, Patient, RiskAssessment } from "fhir/r4";

import { allowed, paged } from "../shared/fhir";
import { called } from "../shared/launch";
import { type Day, type Value, ASSESSED, STATE, TWIN, dayOf, predicted, riskOf, shift } from "../twin/data";

/** So many days back a deviation or a gap counts as new. */
export const RECENT = 7;
/** So many days back an open assessment is shown. */
export const OPEN = 28;
/** Features whose deviations are told, by the rules of the twin. */
const TOLD = ["sleep-duration", "sleep-midpoint", "steps", "activity-mean", "resting-heart-rate"];
const STRONG = 3;
/** A stream of which less than this was measured counts as a gap. */
const ENOUGH = 0.5;

export interface Deviation {
  feature: string;
  date: string;
  value: Value;
}

export interface Assessment {
  date: string;
  text: string;
}

export interface Row {
  patient: string;
  name: string;
  birth: string | null;
  number: string;
  deceased: boolean;
  /** The newest strong deviation of each feature, newest first. */
  deviations: Deviation[];
  /** Open ones, newest first; null where they were not allowed. */
  assessments: Assessment[] | null;
  /** none: never a state; silent: none lately; else how much of the last days there is. */
  state: "none" | "silent" | "there";
  /** The newest day with a state. */
  newest: string | null;
  /** Days of the last ones without a state. */
  absent: number;
  /** Streams that were measured too little, with the measured part. */
  thin: [string, number][];
  /** The day of the newest change, empty where there is none. */
  changed: string;
}

export interface Caseload {
  rows: Row[];
  /** False when there are more patients than anybody reads. */
  whole: boolean;
  /** Types that were not allowed. */
  withheld: string[];
}

/** Reads the caseload of whoever signed in, as their `user/` scopes show it; `today` is a local day. */
export async function read(client: Client, today: string): Promise<Caseload> {
  const [recent, open] = [shift(today, -RECENT), shift(today, -OPEN)];
  const states = `Observation?${STATE}&date=ge${recent}&_total=none`;
  const [patients, twins, days, strong, risks] = await Promise.all([
    paged<Patient>(client, "Patient?_elements=name,birthDate,deceased,identifier&_sort=family&_count=200&_total=none"),
    paged<Patient>(client, `Patient?_has:Observation:patient:${STATE.split("&")[0] ?? ""}&_elements=id&_count=500&_total=none`),
    paged<Observation>(client, `${states}&_elements=subject,effective,extension&_count=500`),
    paged<Observation>(client, `${states}&component-code-value-quantity=${deviating()}&_elements=subject,effective,component&_count=100`),
    allowed<RiskAssessment>(client, `RiskAssessment?${ASSESSED}&_lastUpdated=ge${shift(open, -1)}&_elements=status,subject,occurrence,method,code&_count=200&_total=none`),
  ]);
  const known = new Set(twins.found.map((each) => each.id));
  const [light, heavy, raised] = [grouped(days.found), grouped(strong.found), grouped(risks ?? [])];
  const rows = patients.found.map((patient) => {
    const key = `Patient/${patient.id ?? ""}`;
    const assessments = risks && (raised.get(key) ?? []).map(assessed).filter((each) => each !== null).filter((each) => each.date >= open).sort(newest);
    return row(patient, known.has(patient.id), (light.get(key) ?? []).map(dayOf), (heavy.get(key) ?? []).map(dayOf), assessments, today);
  });
  return { rows: rows.sort(byChange), whole: patients.whole && days.whole && strong.whole, withheld: risks ? [] : ["RiskAssessment"] };
}

/** Any of the told features, three spreads or more away from the person's own baseline. */
function deviating(): string {
  return TOLD.flatMap((code) => [`ge${STRONG}`, `le-${STRONG}`].map((bound) => encodeURIComponent(`${TWIN}|${code}-deviation$${bound}`))).join(",");
}

function grouped<T extends Observation | RiskAssessment>(found: T[]): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const each of found) {
    const key = each.subject?.reference ?? "";
    const group = groups.get(key);
    if (group) group.push(each);
    else groups.set(key, [each]);
  }
  return groups;
}

function newest(one: Assessment, other: Assessment): number {
  return one.date < other.date ? 1 : -1;
}

/** What a clinician has to look at: a model's answer of every night is none of it. */
function assessed(risk: RiskAssessment): Assessment | null {
  const found = ["preliminary", "registered"].includes(risk.status) && !predicted(risk) ? riskOf(risk) : null;
  return found && { date: found.date, text: found.text };
}

function row(patient: Patient, known: boolean, days: Day[], strong: Day[], assessments: Assessment[] | null, today: string): Row {
  const deviations = deviated(strong);
  const dates = days.map((each) => each.date).sort();
  const changes = [deviations[0]?.date ?? "", assessments?.[0]?.date ?? ""].sort();
  return {
    patient: patient.id ?? "",
    name: called(patient.name) || (patient.id ?? ""),
    birth: patient.birthDate ?? null,
    number: patient.identifier?.find((each) => each.type?.coding?.some((coding) => coding.code === "MR"))?.value ?? "",
    deceased: patient.deceasedBoolean === true || !!patient.deceasedDateTime,
    deviations,
    assessments,
    state: days.length ? "there" : known ? "silent" : "none",
    newest: dates.at(-1) ?? null,
    absent: absent(new Set(dates), today),
    thin: thin(days),
    changed: changes.at(-1) ?? "",
  };
}

/** The newest strong deviation of each feature. */
function deviated(days: Day[]): Deviation[] {
  const newest = new Map<string, Deviation>();
  for (const each of [...days].sort((one, other) => (one.date < other.date ? 1 : -1))) {
    for (const feature of TOLD) {
      const value = each.values.get(feature);
      if (value && (value.direction === "above" || value.direction === "below") && !newest.has(feature)) {
        newest.set(feature, { feature, date: each.date, value });
      }
    }
  }
  return [...newest.values()].sort((one, other) => (one.date === other.date ? far(other) - far(one) : one.date < other.date ? 1 : -1));
}

function far(deviation: Deviation): number {
  return Math.abs(deviation.value.z ?? 0);
}

/** Days before today without a state. */
function absent(there: Set<string>, today: string): number {
  return Array.from({ length: RECENT }, (_, back) => shift(today, -back - 1)).filter((date) => !there.has(date)).length;
}

/** Streams of which the days with a state hold too little; today is not over and does not count. */
function thin(days: Day[]): [string, number][] {
  const sums = new Map<string, number>();
  for (const each of days) for (const [stream, part] of each.coverage) sums.set(stream, (sums.get(stream) ?? 0) + part);
  return [...sums].map(([stream, sum]): [string, number] => [stream, sum / days.length]).filter(([, part]) => part < ENOUGH);
}

/** The newest change first; of one day the larger number of changes, then the farthest; then who lacks data, then by name. */
export function byChange(one: Row, other: Row): number {
  if (one.changed !== other.changed) return one.changed < other.changed ? 1 : -1;
  const weight = (each: Row): number => each.deviations.length + (each.assessments?.length ?? 0);
  const farthest = (each: Row): number => Math.max(0, ...each.deviations.map(far));
  return weight(other) - weight(one) || farthest(other) - farthest(one) || other.absent - one.absent || one.name.localeCompare(other.name);
}
