/** Reading the record through the client: whole searches, and what was not allowed told apart from what is not there. */
import type Client from "fhirclient/lib/Client";
import type { Bundle, FhirResource, Resource } from "fhir/r4";

import { Problem, problemOf } from "./problems";

const MOST_PAGES = 40;

/** All resources of a search, page by page. */
export async function all<T extends FhirResource>(client: Client, query: string): Promise<T[]> {
  return (await paged<T>(client, query)).found;
}

/** The same, with whether that was all of them: nobody reads without end. */
export async function paged<T extends FhirResource>(client: Client, query: string): Promise<{ found: T[]; whole: boolean }> {
  const found: T[] = [];
  let next: string | undefined = query;
  for (let page = 0; next && page < MOST_PAGES; page += 1) {
    const bundle: Bundle<T> = await get<Bundle<T>>(client, next);
    for (const entry of bundle.entry ?? []) {
      if (entry.resource && entry.search?.mode !== "outcome") found.push(entry.resource);
    }
    next = bundle.link?.find((link) => link.relation === "next")?.url;
  }
  return { found, whole: !next };
}

/** The same, or null where the person did not allow it. */
export async function allowed<T extends FhirResource>(client: Client, query: string): Promise<T[] | null> {
  try {
    return await all<T>(client, query);
  } catch (error) {
    const problem = problemOf(error);
    if (problem.kind === "denied") return null;
    throw problem;
  }
}

/** One resource, or whatever else is at an address of the server. */
export async function get<T>(client: Client, path: string): Promise<T> {
  try {
    return await client.request<T>(path);
  } catch (error) {
    throw problemOf(error);
  }
}

/** Whether a reference names a resource of this server that can be opened. */
export function local(reference: string | undefined): string | null {
  return reference && /^[A-Za-z]+\/[A-Za-z0-9.-]{1,64}$/.test(reference) ? reference : null;
}

export type Any = Resource & Record<string, unknown>;
export { Problem };
