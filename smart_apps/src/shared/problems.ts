/** What can go wrong with a launch, in words that say what to do. */
import { t, type Word } from "./language";

export type Kind = "no-launch" | "state" | "expired" | "denied" | "scope" | "patient" | "network" | "frame" | "none";

/** A problem that ends what the app can do; its kind says which page explains it. */
export class Problem extends Error {
  constructor(
    readonly kind: Kind,
    readonly detail = "",
  ) {
    super(detail || kind);
  }
}

/** What fhirclient or the server threw, as a problem. */
export function problemOf(error: unknown): Problem {
  if (error instanceof Problem) return error;
  const text = error instanceof Error ? error.message : String(error);
  const status = (error as { statusCode?: number; status?: number }).statusCode ?? (error as { status?: number }).status;
  if (/No 'state' parameter|No state found/i.test(text)) return new Problem("state", text);
  if (status === 401 || /invalid_grant|session expired|re-?launch|Failed to fetch.*token/i.test(text)) return new Problem("expired", text);
  if (status === 403 || /access_denied|invalid_scope|unauthorized_client|invalid_request/i.test(text)) return new Problem("denied", text);
  return new Problem("network", text);
}

/** Title, reason and advice of a problem. */
export function explained(problem: Problem): { title: string; why: string; advice: string } {
  const values = { text: problem.detail, scopes: problem.detail };
  const say = (part: string): string => t(`problem.${problem.kind}${part}` as Word, values);
  return { title: say(""), why: say(".why"), advice: say(".do") };
}
