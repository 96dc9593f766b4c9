/** Flows that the simulator runs itself, right or wrong on purpose, and whether the server answered as the specification wants. */
import { t } from "../shared/language";
import { HERE } from "../shared/session";
import { type Event_, RETURNED } from "../shared/trace";
import { assertion, base64url, keyOf, random } from "./key";

export const ERRORS = ["none", "redirect", "aud", "scope", "refuse", "code", "expired", "verifier", "revoked", "refresh"] as const;
export type Fault = (typeof ERRORS)[number];

/** Seconds that a code of this server holds, and one more. */
export const CODE_SECONDS = 61;
const UNREGISTERED = "patient/Claim.cud";

export const KINDS = ["public", "secret", "key"] as const;
/** How the client proves itself. */
export type Kind = (typeof KINDS)[number];

export interface Plan {
  fault: Fault;
  clientId: string;
  kind: Kind;
  secret: string;
  scope: string;
  /** The handle of an EHR launch; empty for a standalone one. */
  launch: string;
}

export interface Verdict {
  ok: boolean;
  text: string;
}

type Tell = (event: Omit<Event_, "at">) => void;
type Said = Record<string, unknown> & { error?: string; access_token?: string; refresh_token?: string; scope?: string };

interface Endpoints {
  authorization_endpoint: string;
  token_endpoint: string;
  revocation_endpoint: string;
}

/** One run: discovery, the window of the server, the token, and what the fault asks for beyond. */
export class Probe {
  private readonly state = random();
  private readonly verifier = random();
  private readonly redirect = `${location.origin}/apps/ehr/return.html`;
  private places!: Endpoints;

  constructor(
    private readonly plan: Plan,
    private readonly tell: Tell,
    private readonly waits: (text: string) => void,
  ) {}

  async run(popup: Window): Promise<Verdict> {
    const { fault } = this.plan;
    if (this.plan.kind === "key" && !keyOf(this.plan.clientId)) throw new Error(t("ehr.probe.no-key"));
    this.places = (await (await fetch(`${HERE}/.well-known/smart-configuration`)).json()) as Endpoints;
    const back = await this.authorize(popup);
    if (fault === "redirect") return { ok: back === null, text: t("ehr.closed") };
    if (back === null) return { ok: false, text: t("ehr.closed") };
    const error = back.get("error");
    if (back.get("state") !== this.state) return { ok: false, text: `state: ${back.get("state") ?? ""}` };
    if (fault === "aud" || fault === "refuse") {
      return { ok: error === (fault === "aud" ? "invalid_request" : "access_denied"), text: `${error ?? ""}: ${back.get("error_description") ?? ""}` };
    }
    if (error) return { ok: false, text: `${error}: ${back.get("error_description") ?? ""}` };
    return this.redeemed(back.get("code") ?? "");
  }

  private async redeemed(code: string): Promise<Verdict> {
    const { fault } = this.plan;
    if (fault === "expired") {
      this.waits(t("ehr.waiting.code", { seconds: CODE_SECONDS }));
      await new Promise((done) => setTimeout(done, CODE_SECONDS * 1000));
    }
    const said = await this.redeem(code, fault === "verifier" ? random() : this.verifier);
    if (fault === "expired" || fault === "verifier") return refused(said);
    if (!said.access_token) return { ok: false, text: said.error ?? "?" };
    if (fault === "code") return this.ended(said, await this.redeem(code, this.verifier));
    if (fault === "refresh") {
      const renewed = await this.renew(said.refresh_token ?? "");
      return renewed.access_token ? this.ended(renewed, await this.renew(said.refresh_token ?? "")) : { ok: false, text: renewed.error ?? "no refresh token: ask for online_access" };
    }
    if (fault === "revoked") {
      await this.post(this.places.revocation_endpoint, { token: said.access_token });
      return this.dies(said.access_token);
    }
    const scope = said.scope ?? "";
    if (fault === "scope") return { ok: !scope.split(" ").includes(UNREGISTERED), text: `scope: ${scope}` };
    return { ok: true, text: `scope: ${scope}` };
  }

  /** Whether a second use was refused and took the tokens of the first with it. */
  private async ended(first: Said, second: Said): Promise<Verdict> {
    const verdict = refused(second);
    const after = await this.dies(first.access_token ?? "");
    return { ok: verdict.ok && after.ok, text: `${verdict.text}; ${after.text}` };
  }

  /** Waits until a token holds no more: another process of the server may remember it for a minute. */
  private async dies(token: string): Promise<Verdict> {
    for (let turn = 0; turn < 14; turn += 1) {
      const answer = await fetch(`${HERE}/Patient?_count=1`, { headers: { Authorization: `Bearer ${token}`, Accept: "application/fhir+json" } });
      if (answer.status === 401) return { ok: true, text: "401" };
      await new Promise((done) => setTimeout(done, 5000));
    }
    return { ok: false, text: "200" };
  }

  private async authorize(popup: Window): Promise<URLSearchParams | null> {
    const { fault } = this.plan;
    const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(this.verifier));
    const asked = new URLSearchParams({
      response_type: "code",
      client_id: this.plan.clientId,
      redirect_uri: fault === "redirect" ? `${location.origin}/apps/ehr/elsewhere.html` : this.redirect,
      scope: fault === "scope" ? `${this.plan.scope} ${UNREGISTERED}` : this.plan.scope,
      state: this.state,
      aud: fault === "aud" ? "https://other.example/fhir" : HERE,
      code_challenge: base64url(new Uint8Array(hash)),
      code_challenge_method: "S256",
      ...(this.plan.launch ? { launch: this.plan.launch } : {}),
    });
    const url = `${this.places.authorization_endpoint}?${asked.toString()}`;
    this.tell({ kind: "redirect", url });
    const answer = this.answer(popup);
    popup.location.href = url;
    return answer;
  }

  /** The answer that comes to our page, or null when the window is closed without one. */
  private answer(popup: Window): Promise<URLSearchParams | null> {
    return new Promise((done) => {
      const channel = new BroadcastChannel(RETURNED);
      // a window that closes by itself has answered just before, and its answer may be on the way still
      const look = setInterval(() => (popup.closed ? setTimeout(() => finish(null), 800) : undefined), 400);
      const finish = (found: URLSearchParams | null): void => {
        clearInterval(look);
        channel.close();
        done(found);
      };
      channel.onmessage = (event: MessageEvent<string>) => {
        const said = new URL(event.data).searchParams;
        if (said.get("state") !== this.state) return; // another run's
        this.tell({ kind: "arrival", url: event.data });
        finish(said);
      };
    });
  }

  private redeem(code: string, verifier: string): Promise<Said> {
    return this.post(this.places.token_endpoint, { grant_type: "authorization_code", code, redirect_uri: this.redirect, code_verifier: verifier });
  }

  private renew(token: string): Promise<Said> {
    return this.post(this.places.token_endpoint, { grant_type: "refresh_token", refresh_token: token });
  }

  private async post(url: string, form: Record<string, string>): Promise<Said> {
    const { clientId, kind, secret } = this.plan;
    const key = kind === "key" ? keyOf(clientId) : null;
    const proof = key ? await assertion(clientId, key, this.places.token_endpoint) : {};
    const body = new URLSearchParams({ ...form, ...proof, ...(kind === "public" ? { client_id: clientId } : {}) });
    const headers: Record<string, string> = kind === "secret" ? { Authorization: `Basic ${btoa(`${encodeURIComponent(clientId)}:${encodeURIComponent(secret)}`)}` } : {};
    const answer = await fetch(url, { method: "POST", body, headers });
    return (await answer.json().catch(() => ({}))) as Said;
  }
}

function refused(said: Said): Verdict {
  return { ok: said.error === "invalid_grant", text: `${said.error ?? "200"}: ${String(said["error_description"] ?? "")}` };
}
