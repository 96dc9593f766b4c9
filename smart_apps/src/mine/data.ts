/** What the page reads: the days of the person, their devices with their newest measurement, their consents. */
import type Client from "fhirclient/lib/Client";
import type { CodeableConcept, Consent, Device, Observation, Patient } from "fhir/r4";

import { allowed, get } from "../shared/fhir";
import { type Change, change } from "../twin/change";
import { type Day, shift } from "../twin/data";
import { BY_CODE } from "../twin/features";
import { Timeline } from "../twin/timeline";

/** Days that are told, and those before them that are the person's own usual. */
export const NOW = 7;
export const BEFORE = 28;
const SHOWN = ["sleep-duration", "sleep-midpoint", "steps", "activity-mean"];
const MOST_DEVICES = 10;

export interface Measuring {
  name: string;
  kind: string;
  status: string;
  /** Day of the newest measurement; null without one, undefined where it was not looked for. */
  newest: string | null | undefined;
  reference: string;
}

export interface Agreed {
  kind: "permit" | "deny" | "other";
  what: string;
  who: string[];
  from: string | null;
  until: string | null;
  signed: string | null;
  exceptions: number;
  /** Whether it is in force. */
  active: boolean;
  reference: string;
}

export interface Mine {
  patient: Patient;
  /** The first and the last day that are told. */
  first: string;
  last: string;
  changes: Change[];
  /** The days that are told, whether or not they have a state. */
  days: Day[];
  /** Null where it was not allowed. */
  devices: Measuring[] | null;
  consents: Agreed[] | null;
}

/** Reads it all; `today` is a local day, which is not over and therefore not told. */
export async function read(client: Client, patient: string, today: string): Promise<Mine> {
  const first = shift(today, -NOW);
  const timeline = new Timeline(client, patient, today);
  const [person, , devices, consents] = await Promise.all([
    get<Patient>(client, `Patient/${patient}`),
    timeline.load(shift(first, -BEFORE), shift(today, -1), "day"),
    allowed<Device>(client, `Device?patient=${patient}&_count=100`),
    allowed<Consent>(client, `Consent?patient=${patient}&_sort=-date&_count=100`),
  ]);
  const [days, before] = [timeline.buckets(first, shift(today, -1), "day"), timeline.buckets(shift(first, -BEFORE), shift(first, -1), "day")];
  return {
    patient: person, first, last: shift(today, -1), days,
    changes: compared(days, before),
    devices: devices && (await Promise.all(devices.slice(0, MOST_DEVICES).map((each) => measuring(client, patient, each)))),
    consents: consents && consents.filter((each) => each.status !== "entered-in-error").map(agreed),
  };
}

/** Sleep and activity, where anything was measured at all. */
function compared(days: Day[], before: Day[]): Change[] {
  return SHOWN.map((code) => change(BY_CODE.get(code)!, days, before)).filter((each) => each.measured || each.before !== null);
}

async function measuring(client: Client, patient: string, device: Device): Promise<Measuring> {
  const reference = `Device/${device.id ?? ""}`;
  const query = `Observation?patient=${patient}&device=${reference}&_sort=-date&_count=1&_elements=effective&_total=none`;
  const newest = (await get<{ entry?: { resource?: Observation }[] }>(client, query)).entry?.[0]?.resource;
  const kind = device.type?.text ?? device.type?.coding?.[0]?.display ?? "";
  const date = newest?.effectivePeriod?.end ?? newest?.effectivePeriod?.start ?? newest?.effectiveDateTime ?? newest?.effectiveInstant;
  return {
    name: device.deviceName?.[0]?.name ?? (kind || reference), kind, status: device.status ?? "unknown",
    newest: date?.slice(0, 10) ?? null, reference,
  };
}

/** The first level of a Consent in words of the resource; exceptions below it are counted, and read in the resource itself. */
function agreed(consent: Consent): Agreed {
  const rule = consent.provision;
  const kind = rule?.type === "permit" || rule?.type === "deny" ? rule.type : "other";
  const said = [...(rule?.class ?? []).map((each) => each.display ?? each.code ?? ""), ...(rule?.code ?? []).map(conceptText)].filter(Boolean);
  const about = [conceptText(consent.scope), ...consent.category.map(conceptText)].filter(Boolean);
  return {
    kind,
    what: (said.length ? said : about).join(", "),
    who: (rule?.actor ?? []).map((each) => each.reference.display ?? each.reference.reference ?? "").filter(Boolean),
    from: rule?.period?.start?.slice(0, 10) ?? null,
    until: rule?.period?.end?.slice(0, 10) ?? null,
    signed: consent.dateTime?.slice(0, 10) ?? null,
    exceptions: rule?.provision?.length ?? 0,
    active: consent.status === "active",
    reference: `Consent/${consent.id ?? ""}`,
  };
}

function conceptText(concept: CodeableConcept): string {
  return concept.text ?? concept.coding?.[0]?.display ?? concept.coding?.[0]?.code ?? "";
}
