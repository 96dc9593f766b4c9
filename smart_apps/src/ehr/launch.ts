/** What the form of a launch needs to know. */
import type Client from "fhirclient/lib/Client";
import type { Encounter, Patient } from "fhir/r4";

import { all } from "../shared/fhir";

/** Whom the user may open apps for. */
export async function patients(client: Client): Promise<Patient[]> {
  return all<Patient>(client, "Patient?_sort=family&_count=100&_elements=name,birthDate,gender");
}

export async function encounters(client: Client, patient: string): Promise<Encounter[]> {
  return all<Encounter>(client, `Encounter?patient=${patient}&_sort=-date&_count=50`);
}
