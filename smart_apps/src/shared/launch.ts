/** Launches as an EHR makes them, and what people are called. */
import type Client from "fhirclient/lib/Client";
import type { Patient, Practitioner } from "fhir/r4";

import { get } from "./fhir";
import { Problem } from "./problems";
import { HERE } from "./session";

export interface Asked {
  client_id: string;
  patient?: string;
  encounter?: string;
  intent?: string;
  need_patient_banner?: boolean;
  fhirContext?: unknown;
}

/** Asks for a launch; returns the address at which the app is opened. */
export async function launch(client: Client, asked: Asked): Promise<string> {
  const made = await handle(client, asked);
  if (!made.launch_url) throw new Problem("denied", `${asked.client_id} has no launch URL: register it with --launch-url.`);
  return made.launch_url;
}

/** Asks for a launch; returns its handle, and the address of the app where it has one. */
export async function handle(client: Client, asked: Asked): Promise<{ launch: string; launch_url: string | null }> {
  const answer = await fetch(`${location.origin}/oauth2/launch`, {
    method: "POST",
    headers: { ...(await bearer(client)), "Content-Type": "application/json" },
    body: JSON.stringify(asked),
  });
  const said = (await answer.json()) as { launch: string; launch_url: string | null; error_description?: string };
  if (!answer.ok) throw new Problem("denied", said.error_description ?? String(answer.status));
  return said;
}

async function bearer(client: Client): Promise<Record<string, string>> {
  await client.refreshIfNeeded();
  return { Authorization: `Bearer ${client.state.tokenResponse?.access_token ?? ""}` };
}

/** What the user is called. */
export async function user(client: Client): Promise<string> {
  const reference = client.getFhirUser();
  if (!reference) return "?";
  const found = await get<Practitioner>(client, reference.replace(`${HERE}/`, ""));
  return called(found.name) || reference;
}

export function called(names: Patient["name"]): string {
  const name = names?.[0];
  return name?.text ?? [...(name?.prefix ?? []), ...(name?.given ?? []), name?.family ?? ""].join(" ").trim();
}
