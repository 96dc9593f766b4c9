/**
 * Registering an app from the page (RFC 7591): what is asked for, what the server refuses and why, and that it waits until an
 * administrator has decided (RFC 7592 tells). The secret is shown once and kept nowhere; the registration token stays with this tab.
 */
import { html, nothing, type TemplateResult } from "lit";

import { t, type Word } from "../shared/language";
import { keep, make } from "./key";
import type { Kind } from "./probe";

const KEPT = "clarity-registered";
const METHODS = ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"] as const;
const KIND_OF: Record<string, Kind> = { none: "public", private_key_jwt: "key" };
/** Where flows of the simulator itself come back to. */
const RETURN = `${location.origin}/apps/ehr/return.html`;
/** Milliseconds between two looks whether somebody has decided. */
const LOOKS = 5000;

export type Field = "name" | "redirects" | "launch" | "scope" | "contact" | "";
type Status = "pending" | "approved" | "refused";

interface Kept {
  id: string;
  name: string;
  launch: string;
  /** How it proves itself, where a flow of the simulator comes back to it. */
  flows?: Kind;
  status: Status;
  /** Why it was refused, where the administrator has said so. */
  reason?: string;
  /** Where it is asked about, and with what. */
  url: string;
  token: string;
}

interface Said {
  client_id?: string;
  client_secret?: string;
  registration_access_token?: string;
  registration_client_uri?: string;
  registration_status?: string;
  registration_reason?: string;
  error?: string;
  error_description?: string;
}

/** The field that a refusal is about, from its code and the words of the server, who quotes scopes; empty where it is about none. */
export function fieldOf(error: string, text: string, scope: string): Field {
  if (error === "invalid_redirect_uri" || /redirect/i.test(text)) return "redirects";
  if (/client_name/.test(text)) return "name";
  if (/contacts/.test(text)) return "contact";
  if (/launch_url|launch URL/i.test(text)) return "launch";
  return /scope/i.test(text) || scope.split(/\s+/).some((word) => word && text.includes(word)) ? "scope" : "";
}

export class Registration {
  private apps: Kept[] = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]") as Kept[];
  private refusal: { field: Field; text: string } | null = null;
  private secret = "";
  private busy = false;
  private timer = 0;

  constructor(
    private readonly draw: () => void,
    /** Takes an app into the form of launches. */
    private readonly use: (id: string) => void,
    /** Takes it into the form of flows. */
    private readonly run: (id: string, kind: Kind) => void,
  ) {
    this.watch();
  }

  /** The apps that were registered here and may be launched. */
  get ready(): { id: string; name: string }[] {
    return this.apps.filter((each) => each.status === "approved");
  }

  private keep(): void {
    sessionStorage.setItem(KEPT, JSON.stringify(this.apps));
    this.draw();
  }

  private async send(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const given = new FormData(form);
    const text = (name: string): string => String(given.get(name) ?? "").trim();
    const key = text("method") === "private_key_jwt" ? await make() : null;
    const asked = {
      client_name: text("name"),
      redirect_uris: text("redirects").split(/\s+/).filter(Boolean),
      scope: text("scope"),
      token_endpoint_auth_method: text("method"),
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      ...(text("launch") ? { launch_url: text("launch") } : {}),
      ...(key ? { jwks: key.jwks } : {}),
      ...(text("contact") ? { contacts: [text("contact")] } : {}),
    };
    [this.busy, this.refusal, this.secret] = [true, null, ""];
    this.draw();
    try {
      const answer = await fetch(`${location.origin}/oauth2/register`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(asked) });
      const said = (await answer.json().catch(() => ({}))) as Said;
      if (answer.status === 201) {
        if (key) keep(said.client_id ?? "", key);
        const flows = asked.redirect_uris.includes(RETURN) ? { flows: KIND_OF[text("method")] ?? "secret" } : {};
        this.taken(said, { name: asked.client_name, launch: text("launch"), ...flows });
      }
      else this.refused(answer, said, asked.scope);
    } catch {
      this.refusal = { field: "", text: t("reg.network") };
    }
    this.busy = false;
    this.draw();
    if (this.refusal) form.querySelector<HTMLElement>(this.refusal.field ? `[name=${this.refusal.field}]` : "[role=alert]")?.focus();
    else form.reset();
  }

  private refused(answer: Response, said: Said, scope: string): void {
    const wait = Number(answer.headers.get("retry-after") ?? 0);
    const why = said.error_description ?? t("reg.status", { status: answer.status });
    const limited = answer.status === 429 || answer.status === 503;
    const text = limited ? t("reg.later", { why, minutes: Math.max(1, Math.ceil(wait / 60)) }) : `${why} (${said.error ?? answer.status})`;
    this.refusal = { field: limited ? "" : fieldOf(said.error ?? "", why, scope), text };
  }

  private taken(said: Said, of: Pick<Kept, "name" | "launch" | "flows">): void {
    const kept = { ...of, id: said.client_id ?? "", url: said.registration_client_uri ?? "", token: said.registration_access_token ?? "" };
    this.secret = said.client_secret ?? "";
    this.apps = [{ ...kept, status: "pending" }, ...this.apps];
    this.keep();
    this.watch();
  }

  /** Looks again and again while any app waits. */
  private watch(): void {
    clearTimeout(this.timer);
    if (this.apps.some((each) => each.status === "pending")) this.timer = window.setTimeout(() => void this.look(), LOOKS);
  }

  private async look(): Promise<void> {
    for (const each of this.apps.filter((app) => app.status === "pending")) {
      const answer = await fetch(each.url, { headers: { Authorization: `Bearer ${each.token}` } }).catch(() => null);
      const said = answer?.ok ? ((await answer.json()) as Said) : {};
      if (said.registration_status === "approved") each.status = "approved";
      else if (said.registration_status === "refused" || answer?.status === 401) each.status = "refused"; // 401: it is forgotten already
      if (said.registration_reason) each.reason = said.registration_reason;
    }
    this.keep();
    this.watch();
  }

  private async back(app: Kept): Promise<void> {
    const answer = await fetch(app.url, { method: "DELETE", headers: { Authorization: `Bearer ${app.token}` } }).catch(() => null);
    if (!answer || (!answer.ok && answer.status !== 401)) {
      this.refusal = { field: "", text: t("reg.network") };
      this.draw();
      return;
    }
    this.forget(app);
  }

  private forget(app: Kept): void {
    this.apps = this.apps.filter((each) => each !== app);
    this.keep();
    document.querySelector<HTMLElement>("#register summary")?.focus();
  }

  // ---- what is shown ----

  form(): TemplateResult {
    const here = `${location.origin}/`;
    return html`<form class="card" id="register" @submit=${(event: SubmitEvent) => this.send(event)}>
      <details ?open=${this.apps.length > 0}><summary><h2>${t("reg.title")}</h2></summary>
        <p class="soft">${t("reg.lead")}</p>
        ${this.field("name", html`<input type="text" name="name" required maxlength="80" autocomplete="off" aria-invalid=${this.wrong("name")} aria-describedby="reg-name" />`)}
        ${this.field("redirects", html`<textarea name="redirects" rows="2" required .defaultValue=${RETURN} aria-invalid=${this.wrong("redirects")} aria-describedby="reg-redirects"></textarea>`)}
        ${this.field("launch", html`<input type="text" name="launch" autocomplete="off" placeholder=${here} aria-invalid=${this.wrong("launch")} aria-describedby="reg-launch" />`)}
        ${this.field("scope", html`<input type="text" name="scope" required value="launch openid fhirUser online_access patient/*.rs" aria-invalid=${this.wrong("scope")} aria-describedby="reg-scope" />`)}
        ${this.field("contact", html`<input type="text" name="contact" maxlength="120" autocomplete="off" aria-invalid=${this.wrong("contact")} aria-describedby="reg-contact" />`)}
        <label>${t("reg.method")}
          <select name="method">${METHODS.map((each) => html`<option value=${each}>${t(`reg.method.${each}` as Word)}</option>`)}</select></label>
        ${this.refusal?.field === "" ? html`<p class="alarm" role="alert" tabindex="-1">${this.refusal.text}</p>` : nothing}
        <button ?disabled=${this.busy}>${t("reg.send")}</button>
        ${this.secret ? html`<p class="alarm">${t("reg.secret")} <code data-secret>${this.secret}</code></p>` : nothing}
        <div role="status">${this.apps.map((each) => this.app(each))}</div>
      </details>
    </form>`;
  }

  private wrong(field: Field): "true" | "false" {
    return this.refusal?.field === field ? "true" : "false";
  }

  private field(name: Exclude<Field, "">, input: TemplateResult): TemplateResult {
    const text = this.refusal?.field === name ? this.refusal.text : "";
    return html`<label>${t(`reg.${name}` as Word)} ${input}</label><p class=${text ? "alarm" : "soft"} id=${`reg-${name}`} role=${text ? "alert" : nothing}>${text || t(`reg.${name}.hint` as Word)}</p>`;
  }

  private app(app: Kept): TemplateResult {
    const id = app.id;
    return html`<section class="registered" data-client=${id} data-status=${app.status}>
      <h3>${app.name} <span class="tag">${t(`reg.is.${app.status}` as Word)}</span></h3>
      <p class="soft"><code>${id}</code></p>
      <p>${app.reason ? t("reg.is.refused.why", { reason: app.reason }) : t(`reg.is.${app.status}.do` as Word, { id })}</p>
      <div class="row">
        ${app.status === "approved" ? html`<button type="button" class="go" ?disabled=${!app.launch} @click=${() => this.use(id)}>${t("reg.use")}</button>` : nothing}
        ${app.status === "approved" && app.flows ? html`<button type="button" @click=${() => this.run(id, app.flows!)}>${t("reg.run")}</button>` : nothing}
        ${app.status === "approved" && !app.launch ? html`<span class="soft">${t("reg.no-launch")}</span>` : nothing}
        ${app.status === "pending" ? html`<button type="button" @click=${() => void this.look()}>${t("reg.look")}</button>` : nothing}
        <button type="button" @click=${() => (app.status === "refused" ? this.forget(app) : void this.back(app))}>${t(app.status === "refused" ? "reg.forget" : "reg.back")}</button>
      </div>
    </section>`;
  }
}
