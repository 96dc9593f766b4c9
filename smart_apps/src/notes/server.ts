/** What the page asks of the server: drafts that are answered later, signatures, what is there already. */
import type Client from "fhirclient/lib/Client";
import type { Bundle, DocumentReference, OperationOutcome } from "fhir/r4";

import { all } from "../shared/fhir";
import { Problem } from "../shared/problems";
import { type Note, read } from "./note";

const WAIT = 600;

interface Answer {
  status: number;
  body: unknown;
  where: string;
  progress: string;
}

async function send(client: Client, method: string, url: string, body?: unknown): Promise<Answer> {
  const answer = await fetch(url.startsWith("http") ? url : `${client.state.serverUrl}/${url}`, {
    method,
    headers: {
      accept: "application/fhir+json",
      authorization: client.getAuthorizationHeader() ?? "",
      ...(body === undefined ? {} : { "content-type": "application/fhir+json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const said: unknown = await answer.json();
  if (answer.status >= 400) throw refused(answer.status, said);
  return {
    status: answer.status, body: said,
    where: answer.headers.get("content-location") ?? "", progress: answer.headers.get("x-progress") ?? "",
  };
}

/** What the server refused, with the code of its first issue. */
export class Refused extends Problem {
  constructor(
    status: number,
    detail: string,
    readonly code: string,
  ) {
    super(status === 401 ? "expired" : status === 403 ? "denied" : "network", detail);
  }
}

function refused(status: number, said: unknown): Refused {
  const issues = (said as OperationOutcome).issue ?? [];
  const text = [...new Set(issues.map((each) => each.details?.text ?? ""))].filter(Boolean).join(" ");
  return new Refused(status, text || String(status), issues[0]?.details?.coding?.[0]?.code ?? "");
}

/** The newest notes of the patient that were drafted here. */
export async function notes(client: Client, patient: string): Promise<Note[]> {
  const found = await all<DocumentReference>(client, `DocumentReference?patient=${patient}&_tag=note&_sort=-date&_count=20`);
  return found.map(read).filter((each): each is Note => each !== null && each.status !== "entered-in-error");
}

/** Asks for a draft and waits for it; `tell` hears how far it is. */
export async function draft(
  client: Client, patient: string, given: Record<string, string>, tell: (progress: string) => void,
): Promise<Note> {
  const kicked = await send(client, "POST", `Patient/${patient}/$draft-note?${new URLSearchParams(given)}`);
  for (;;) {
    await new Promise((done) => setTimeout(done, WAIT));
    const answer = await send(client, "GET", kicked.where);
    if (answer.status === 202) {
      tell(answer.progress);
      continue;
    }
    const entry = (answer.body as Bundle).entry?.[0];
    const made = entry?.resource?.resourceType === "DocumentReference" ? read(entry.resource) : null;
    if (!made) throw refused(Number(entry?.response?.status ?? 500), entry?.response?.outcome);
    return made;
  }
}

/** Signs a note with the sections that were edited. */
export async function sign(client: Client, note: Note, edits: Map<string, string>, unsupported: boolean): Promise<Note> {
  const parameter: unknown[] = [...edits].map(([code, text]) => ({
    name: "section", part: [{ name: "code", valueCode: code }, { name: "text", valueString: text }],
  }));
  if (unsupported) parameter.push({ name: "accept-unsupported", valueBoolean: true });
  const answer = await send(client, "POST", `DocumentReference/${note.id}/$sign`, { resourceType: "Parameters", parameter });
  return read(answer.body as DocumentReference) ?? note;
}
