/** The panel of steps: what was sent, what came back, what stands in the tokens, and what the specification says of it. */
import { html, nothing, type TemplateResult } from "lit";

import { named, t, type Word } from "../shared/language";
import type { Event_ } from "../shared/trace";

export type Step = "launch" | "open" | "start" | "discovery" | "authorize" | "back" | "token" | "refresh" | "revoke" | "fhir" | "jwks" | "note" | "subscribe" | "bind" | "socket" | "register";

/** What a step of a flow is, from its address and what was sent. */
export function stepOf(event: Event_): Step {
  const url = new URL(event.url ?? location.href, location.href);
  const path = url.pathname;
  if (event.kind === "note") return "note";
  if (event.kind === "redirect") return path.endsWith("/authorize") ? "authorize" : "open";
  if (event.kind === "arrival") return url.searchParams.has("state") ? "back" : "start";
  if (path.endsWith("/oauth2/launch")) return "launch";
  if (path.endsWith("/oauth2/token")) return /grant_type=refresh_token/.test(event.sent ?? "") ? "refresh" : "token";
  if (path.endsWith("/oauth2/revoke")) return "revoke";
  if (path.endsWith("/oauth2/register")) return "register"; // looking whether it was approved is no step
  if (path.endsWith("/oauth2/jwks")) return "jwks";
  if (path.endsWith("/websocket")) return "socket";
  if (path.endsWith("/$get-ws-binding-token")) return "bind";
  if (path.endsWith("/Subscription") || (event.method === "PUT" && path.includes("/Subscription/"))) return "subscribe";
  return path.includes("/.well-known/") ? "discovery" : "fhir";
}

export function panel(events: Event_[], clear: () => void): TemplateResult {
  return html`<section class="card flow" aria-label=${t("ehr.flow")}>
    <div class="row head"><h2>${t("ehr.flow")}</h2>${events.length ? html`<button @click=${clear}>${t("ehr.flow.clear")}</button>` : nothing}</div>
    ${events.length ? html`<ol class="steps">${events.map(step)}</ol>` : html`<p class="soft">${t("ehr.flow.none")}</p>`}
  </section>`;
}

function step(event: Event_): TemplateResult {
  const kind = stepOf(event);
  const bad = (event.status ?? 200) >= 400;
  const spec = t(`ehr.spec.${kind}` as Word);
  return html`<li data-step=${kind}>
    <details>
      <summary>
        <span class="what">${t(`ehr.step.${kind}` as Word)}</span>
        ${event.status ? html`<span class=${bad ? "status bad" : "status"}>${event.status}</span>` : nothing}
        <span class="where">${event.text ?? `${event.method ?? ""} ${short(event.url)}`}</span>
      </summary>
      ${spec ? html`<p class="soft spec">${spec}</p>` : nothing}
      ${parameters(event)} ${answer(event)}
    </details>
  </li>`;
}

function short(url: string | undefined): string {
  if (!url) return "";
  const found = new URL(url, location.href);
  return found.origin === location.origin ? found.pathname + (found.pathname.includes("/fhir/") ? found.search : "") : found.origin + found.pathname;
}

function parameters(event: Event_): TemplateResult | typeof nothing {
  const query = event.url ? [...new URL(event.url, location.href).searchParams] : [];
  const body = event.sent?.startsWith("{") ? Object.entries(JSON.parse(event.sent) as Record<string, unknown>) : [...new URLSearchParams(event.sent ?? "")];
  const rows = [...query, ...body].map(([name, value]) => [name, typeof value === "string" ? value : JSON.stringify(value)] as const);
  if (!rows.length) return nothing;
  return html`<h3>${t("ehr.flow.parameters")}</h3><dl class="facts">${rows.map(([name, value]) => html`<dt>${name}</dt><dd>${value}${meaning(name)}</dd>`)}</dl>`;
}

/** What the specification says of a parameter, a member of an answer or a claim. */
function meaning(name: string): TemplateResult | typeof nothing {
  const text = named("spec.of", name, "");
  return text ? html`<span class="soft means">${text}</span>` : nothing;
}

function meanings(names: string[]): TemplateResult | typeof nothing {
  const known = names.filter((name) => named("spec.of", name, ""));
  if (!known.length) return nothing;
  return html`<dl class="facts">${known.map((name) => html`<dt>${name}</dt><dd>${meaning(name)}</dd>`)}</dl>`;
}

function answer(event: Event_): TemplateResult | typeof nothing {
  if (!event.received) return nothing;
  let text = event.received;
  let tokens: ["access_token" | "id_token", string][] = [];
  let members: string[] = [];
  try {
    const said = JSON.parse(text) as Record<string, unknown>;
    text = JSON.stringify(said, null, 2);
    if (/\/oauth2\//.test(event.url ?? "")) members = Object.keys(said);
    tokens = (["access_token", "id_token"] as const).filter((name) => String(said[name]).split(".").length === 3).map((name) => [name, String(said[name])]);
  } catch {
    text = event.received; // cut off where it was too long, so it is shown as it came
  }
  return html`<h3>${t("ehr.flow.answer")}</h3><pre tabindex="0">${text}</pre>${meanings(members)}
    ${tokens.map(([name, token]) => html`<h3>${t("ehr.flow.token", { name })}</h3><p class="soft spec">${t(`spec.${name}`)}</p><pre tabindex="0">${decoded(token)}</pre>${meanings(claims(token))}`)}`;
}

/** Head and claims of a signed token, with the times in words. */
export function decoded(token: string): string {
  const [head, claims] = token.split(".").slice(0, 2).map(part);
  if (!head || !claims) return token;
  for (const name of ["iat", "exp", "auth_time", "nbf"]) {
    const value = claims[name];
    if (typeof value === "number") claims[name] = `${value} (${new Date(value * 1000).toISOString()})`;
  }
  return `${JSON.stringify(head, null, 2)}\n${JSON.stringify(claims, null, 2)}`;
}

/** What stands in head and claims of a token, by name. */
function claims(token: string): string[] {
  return token.split(".").slice(0, 2).flatMap((each) => Object.keys(part(each)));
}

function part(text: string): Record<string, unknown> {
  const bytes = Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (letter) => letter.charCodeAt(0));
  return JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
}
