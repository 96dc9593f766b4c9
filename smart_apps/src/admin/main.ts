/** Where administrators decide: apps that ask to be registered, and clients that are. It can do what the administration API lets it. */
import { html, nothing, render, type TemplateResult } from "lit";
import { repeat } from "lit/directives/repeat.js";

import { bar, problemPage } from "../shared/bar";
import { locale, t, type Word } from "../shared/language";
import { Problem, problemOf } from "../shared/problems";
import { again, type App as SmartApp, open } from "../shared/session";
import "../shared/theme";
import "./admin.css";
import { told } from "./scopes";
import { type App, Refused, Server } from "./server";

const APP: SmartApp = { clientId: "clarity-admin", scope: "openid __admin", needs: [], patient: false };
const root = document.querySelector<HTMLElement>("#app")!;

/** What is being decided about an app: scopes that were unticked, and whether a reason or a confirmation is asked for. */
interface Draft {
  without: Set<string>;
  asks: boolean;
}

const state = {
  server: null as Server | null, waiting: [] as App[], clients: [] as App[], drafts: new Map<string, Draft>(),
  find: "", said: "", alarm: "", busy: false,
};

async function start(): Promise<void> {
  document.title = `Clarity · ${t("app.admin")}`;
  render(html`${bar(t("app.admin"))}<main class="loading"><p class="soft">${t("loading")}</p></main>`, root);
  try {
    const session = await open(APP);
    if (!session.granted.has("__admin")) return stranger();
    state.server = new Server(session.client);
    await read();
    root.dataset["ready"] = "yes";
    draw();
    document.addEventListener("visibilitychange", () => (document.visibilityState === "visible" ? void looked() : undefined));
  } catch (error) {
    stop(problemOf(error));
  }
}

async function read(): Promise<void> {
  const server = state.server!;
  [state.waiting, state.clients] = await Promise.all([server.waiting(), server.registered()]);
}

/** Looks again; what was unticked stays so. */
async function looked(): Promise<void> {
  await doing(async () => {
    await read();
    return "";
  });
}

/** Does something, says what came of it, and shows what is so then. */
async function doing(act: () => Promise<string>): Promise<void> {
  if (state.busy) return;
  [state.busy, state.alarm, state.said] = [true, "", ""];
  draw();
  try {
    const said = await act();
    if (said) await read();
    state.said = said;
  } catch (error) {
    if (error instanceof Problem) return stop(error);
    state.alarm = error instanceof Refused ? error.message : t("admin.network");
    if (error instanceof Refused) await read().catch(() => undefined); // somebody else may have decided
  } finally {
    state.busy = false;
  }
  draw();
}

async function decided(app: App, act: (server: Server) => Promise<void>, said: string, next: string): Promise<void> {
  await doing(async () => {
    await act(state.server!);
    state.drafts.delete(app.client_id);
    return said;
  });
  root.querySelector<HTMLElement>(next)?.focus();
}

// ---- pages instead of it ----

function stop(problem: Problem): void {
  delete root.dataset["ready"];
  const page = problem.kind === "no-launch"
    ? html`<main class="card problem" data-problem="no-launch"><h1>${t("admin.sign-in")}</h1><p>${t("admin.sign-in.why")}</p><p>${t("admin.sign-in.do")}</p>
        <div class="row"><button class="go" id="again" @click=${() => void begin()}>${t("sign-in-window")}</button></div></main>`
    : problemPage(problem, t("sign-in-window"), () => void begin());
  render(html`${bar(t("app.admin"))}${page}`, root);
}

function stranger(): void {
  render(
    html`${bar(t("app.admin"))}<main class="card problem" data-problem="stranger"><h1>${t("admin.stranger")}</h1><p>${t("admin.stranger.why")}</p>
      <p>${t("admin.stranger.do")} <a href="/oauth2/apps">${t("admin.own-page")}</a></p>
      <div class="row"><button class="go" id="again" @click=${() => void begin("login")}>${t("admin.other")}</button></div></main>`,
    root,
  );
}

async function begin(prompt?: "login"): Promise<void> {
  await again(APP, prompt).catch((error) => stop(problemOf(error)));
}

// ---- the page ----

function draw(): void {
  if (!root.dataset["ready"]) return;
  render(
    html`${bar(t("app.admin"))}
      <main class="admin" aria-busy=${String(state.busy)}>
        <p class="done" role="status" id="said">${state.said}</p>
        ${state.alarm ? html`<p class="alarm" role="alert">${state.alarm}</p>` : nothing}
        <section aria-labelledby="waiting-title">
          <div class="row head"><h1 id="waiting-title" tabindex="-1">${t("admin.waiting")} (${state.waiting.length})</h1>
            <button id="look" @click=${() => void looked()}>${t("admin.again")}</button></div>
          ${state.waiting.length ? repeat(state.waiting, (app) => app.client_id, request) : html`<p class="card soft">${t("admin.waiting.none")}</p>`}
        </section>
        ${registered()}
      </main>`,
    root,
  );
}

function draft(app: App): Draft {
  const found = state.drafts.get(app.client_id) ?? { without: new Set<string>(), asks: false };
  state.drafts.set(app.client_id, found);
  return found;
}

function request(app: App): TemplateResult {
  const mine = draft(app);
  const all = app.scope.split(" ");
  const left = all.filter((each) => !mine.without.has(each));
  const values = { name: app.name, count: left.length, all: all.length };
  const approve = (): Promise<void> => decided(app, (server) => server.approve(app.client_id, left.join(" ")), t("admin.done.approved", values), "#waiting-title");
  return html`<article class="card request" data-client=${app.client_id} aria-labelledby=${`t-${app.client_id}`}>
    <h2 id=${`t-${app.client_id}`}>${app.name}</h2>
    ${facts(app)}
    <fieldset><legend>${t("admin.scopes")}</legend>
      <p class="soft">${t(app.redirect_uris.length ? "admin.scopes.do" : "admin.scopes.system")}</p>
      ${all.map((each) => scope(each, !mine.without.has(each), (on) => {
        if (on) mine.without.delete(each);
        else mine.without.add(each);
        draw();
      }))}
    </fieldset>
    ${mine.asks
      ? asked(t("admin.reason"), true, t("admin.refuse.yes"), (reason) => decided(app, (server) => server.refuse(app.client_id, reason), t("admin.done.refused", values), "#waiting-title"), () => asks(app, false))
      : html`<div class="row">
          <button class="go" data-act="approve" ?disabled=${!left.length || state.busy} aria-label=${t("admin.approve.of", values)} @click=${() => void approve()}>${t("admin.approve")} (${left.length}/${all.length})</button>
          <button data-act="ask" aria-label=${t("admin.refuse.of", values)} @click=${() => asks(app, true)}>${t("admin.refuse")}</button>
        </div>`}
  </article>`;
}

/** Opens or closes what is asked before something that hurts is done, and goes there. */
function asks(app: App, open: boolean): void {
  draft(app).asks = open;
  draw();
  const place = root.querySelector(`[data-client="${app.client_id}"]`);
  place?.querySelector<HTMLElement>(open ? "textarea, [data-act=yes]" : "[data-act=ask]")?.focus();
}

function asked(text: string, reason: boolean, yes: string, act: (reason: string) => Promise<void>, cancel: () => void): TemplateResult {
  const send = (event: SubmitEvent): void => {
    event.preventDefault();
    void act(String(new FormData(event.target as HTMLFormElement).get("reason") ?? "").trim());
  };
  return html`<form class="ask" @submit=${send} @keydown=${(event: KeyboardEvent) => event.key === "Escape" && cancel()}>
    ${reason ? html`<label>${text}<textarea name="reason" rows="2" maxlength="500"></textarea></label>` : html`<p>${text}</p>`}
    <div class="row"><button data-act="yes" class="grave" ?disabled=${state.busy}>${yes}</button><button type="button" @click=${cancel}>${t("admin.cancel")}</button></div>
  </form>`;
}

function scope(name: string, on: boolean, turn: ((on: boolean) => void) | null): TemplateResult {
  const { what, whose, heavy } = told(name);
  const words = html`<span><strong>${what}</strong> ${heavy ? html`<span class="tag">${t("admin.heavy")}</span>` : nothing} <span class="soft">${whose} <code>${name}</code></span></span>`;
  return turn
    ? html`<label class="scope"><input type="checkbox" name=${name} .checked=${on} @change=${(event: Event) => turn((event.target as HTMLInputElement).checked)} />${words}</label>`
    : html`<li class="scope">${words}</li>`;
}

function facts(app: App): TemplateResult {
  const date = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }).format(new Date(app.since));
  const keys = app.jwks?.keys.map((each) => [each.kid, each.alg ?? each.crv ?? each.kty].filter(Boolean).join(" · ")) ?? [];
  const local = (url: string): boolean => ["localhost", "127.0.0.1", "[::1]"].includes(URL.parse(url)?.hostname ?? "");
  return html`<dl class="facts">
    <dt>${t(app.asked ? "admin.asked" : "admin.added")}</dt><dd>${app.address ? t("admin.from", { date, address: app.address }) : date}</dd>
    ${app.asked ? html`<dt>${t("admin.contacts")}</dt><dd>${app.contacts.join(", ") || t("admin.anonymous")}${app.contacts.length ? html` <span class="soft">(${t("admin.unproved")})</span>` : nothing}</dd>
      ${app.client_uri ? html`<dt>${t("admin.site")}</dt><dd>${app.client_uri}</dd>` : nothing}` : nothing}
    <dt>${t("admin.id")}</dt><dd><code>${app.client_id}</code></dd>
    <dt>${t("admin.kind")}</dt><dd>${t(`admin.kind.${app.method}` as Word)}</dd>
    <dt>${t("admin.redirects")}</dt><dd>${app.redirect_uris.length ? app.redirect_uris.map((each) => html`<div><code>${each}</code>${local(each) ? html` <span class="soft">(${t("admin.local")})</span>` : nothing}</div>`) : t("admin.redirects.none")}</dd>
    ${app.redirect_uris.length ? html`<dt>${t("admin.launch")}</dt><dd>${app.launch_url ? html`<code>${app.launch_url}</code>` : t("admin.launch.none")}</dd>` : nothing}
    ${app.jwks_uri || keys.length ? html`<dt>${t("admin.keys")}</dt><dd>${app.jwks_uri ? html`<code>${app.jwks_uri}</code>` : keys.map((each) => html`<div><code>${each}</code></div>`)}</dd>` : nothing}
  </dl>`;
}

function registered(): TemplateResult {
  const wanted = state.find.toLowerCase();
  const shown = state.clients.filter((each) => `${each.name} ${each.client_id}`.toLowerCase().includes(wanted));
  return html`<section aria-labelledby="clients-title">
    <div class="row head"><h2 id="clients-title" tabindex="-1">${t("admin.clients")} (${state.clients.length})</h2>
      <label class="find">${t("admin.find")} <input type="text" name="find" autocomplete="off" .value=${state.find} @input=${(event: InputEvent) => ((state.find = (event.target as HTMLInputElement).value), draw())} /></label></div>
    ${shown.length ? html`<ul class="clients card">${repeat(shown, (app) => app.client_id, client)}</ul>` : html`<p class="card soft">${t("admin.none-found")}</p>`}
  </section>`;
}

function client(app: App): TemplateResult {
  const mine = draft(app);
  const off = app.status === "disabled";
  const values = { name: app.name };
  const turn = (): Promise<void> =>
    decided(app, (server) => server.disable(app.client_id, !off), t(off ? "admin.done.enabled" : "admin.done.disabled", values), `[data-client="${app.client_id}"] [data-act=ask]`);
  const button = off
    ? html`<button data-act="ask" aria-label=${t("admin.enable.of", values)} @click=${() => void turn()}>${t("admin.enable")}</button>`
    : html`<button data-act="ask" aria-label=${t("admin.disable.of", values)} @click=${() => asks(app, true)}>${t("admin.disable")}</button>`;
  return html`<li data-client=${app.client_id} data-status=${app.status}>
    <div class="row head">
      <details><summary><span class="name">${app.name}</span> <code>${app.client_id}</code> <span class="tag">${t(`admin.is.${app.status}` as Word)}</span></summary>
        ${facts(app)}<ul class="plain">${app.scope.split(" ").map((each) => scope(each, true, null))}</ul></details>
      ${app.client_id === APP.clientId ? html`<span class="soft">${t("admin.itself")}</span>` : mine.asks ? nothing : button}
    </div>
    ${mine.asks ? asked(t("admin.disable.sure"), false, t("admin.disable.yes"), turn, () => asks(app, false)) : nothing}
  </li>`;
}

void start();
