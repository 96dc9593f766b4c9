/** What the administration API says of clients, and what it is asked to do; every refusal comes with the words of the server. */
import type Client from "fhirclient/lib/Client";
import type { OperationOutcome } from "fhir/r4";

import { Problem } from "../shared/problems";

export type Status = "pending" | "approved" | "disabled" | "refused";

export interface App {
  client_id: string;
  name: string;
  method: "none" | "client_secret" | "private_key_jwt";
  scope: string;
  redirect_uris: string[];
  launch_url: string | null;
  jwks_uri: string | null;
  jwks: { keys: { kid?: string; kty?: string; alg?: string; crv?: string }[] } | null;
  status: Status;
  /** When it was asked for or added, ISO. */
  since: string;
  /** Whether somebody asked for it (RFC 7591); an administrator added the others. */
  asked: boolean;
  contacts: string[];
  client_uri: string | null;
  address: string | null;
}

/** A request that the server refused: what is shown is what it said. */
export class Refused extends Error {}

export class Server {
  constructor(private readonly client: Client) {}

  async waiting(): Promise<App[]> {
    return (await this.ask<{ clients: App[] }>("GET", "clients?pending=true")).clients;
  }

  async registered(): Promise<App[]> {
    return (await this.ask<{ clients: App[] }>("GET", "clients")).clients;
  }

  /** Approves for exactly these scopes: never for what is there by then. */
  async approve(id: string, scope: string): Promise<void> {
    await this.ask("POST", `clients/${encodeURIComponent(id)}/approve`, { scope });
  }

  async refuse(id: string, reason: string): Promise<void> {
    await this.ask("POST", `clients/${encodeURIComponent(id)}/refuse`, reason ? { reason } : {});
  }

  async disable(id: string, disabled: boolean): Promise<void> {
    await this.ask("PATCH", `clients/${encodeURIComponent(id)}`, { disabled });
  }

  private async ask<T>(method: string, path: string, body?: unknown): Promise<T> {
    const token = this.client.state.tokenResponse?.access_token ?? "";
    const answer = await fetch(`${location.origin}/admin/${path}`, {
      method,
      credentials: "omit", // the token alone says who asks
      headers: { Authorization: `Bearer ${token}`, ...(body === undefined ? {} : { "Content-Type": "application/json" }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    if (answer.status === 401) throw new Problem("expired");
    if (answer.status === 204) return undefined as T;
    const said = (await answer.json().catch(() => ({}))) as T & Partial<OperationOutcome>;
    if (!answer.ok) throw new Refused(said.issue?.[0]?.diagnostics ?? said.issue?.[0]?.details?.text ?? String(answer.status));
    return said;
  }
}
