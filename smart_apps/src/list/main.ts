/** The patient list: whom to look at first, and the twin of each a keystroke away. */
import { html, nothing, render, type TemplateResult } from "lit";

import { bar, problemPage } from "../shared/bar";
import { locale, t, type Word } from "../shared/language";
import { launch, user } from "../shared/launch";
import { Problem, problemOf } from "../shared/problems";
import { type App, type Session, HERE, again, open } from "../shared/session";
import "../shared/theme";
import { type Caseload, type Row, OPEN, RECENT, read } from "./data";
import "./list.css";
import { table } from "./table";

const APP: App = {
  clientId: "clarity-list",
  scope: "launch __launch openid fhirUser online_access user/Patient.rs user/Observation.rs user/RiskAssessment.rs user/Practitioner.rs",
  needs: ["user/Patient.rs", "user/Observation.rs"],
  patient: false,
};
const FILTERS = ["all", "changed", "missing", "none"] as const;
type Filter = (typeof FILTERS)[number];
/** So many rows are drawn at first. */
const ROWS = 200;

const root = document.querySelector<HTMLElement>("#app")!;
const state = {
  session: null as Session | null, load: null as Caseload | null, name: "", at: "", filter: "all" as Filter, sought: "",
  shown: ROWS, current: "", said: "", alarm: false,
};

async function start(): Promise<void> {
  document.title = `Clarity · ${t("app.list")}`;
  render(html`${bar(t("app.list"))}<main class="loading" aria-busy="true"><p class="soft">${t("loading")}</p></main>`, root);
  try {
    state.session = await open(APP);
    state.name = await user(state.session.client).catch(() => ""); // a name is pleasant and nothing depends on it
    await load();
  } catch (error) {
    stop(problemOf(error));
  }
}

async function load(): Promise<void> {
  const today = new Intl.DateTimeFormat("en-CA").format(new Date());
  state.load = await read(state.session!.client, today);
  state.at = new Intl.DateTimeFormat(locale, { timeStyle: "short" }).format(new Date());
  draw();
  root.dataset["ready"] = "yes";
}

async function refresh(): Promise<void> {
  say("");
  try {
    await load();
  } catch (error) {
    stop(problemOf(error));
  }
}

function stop(problem: Problem): void {
  const act = problem.kind === "network" ? () => location.reload() : () => void again(APP).catch((error) => stop(problemOf(error)));
  const page =
    problem.kind === "no-launch"
      ? html`<main class="card problem" data-problem="no-launch"><h1>${t("list.hello")}</h1><p>${t("list.hello.why")}</p><p>${t("list.hello.do")}</p>
          <div class="row"><button class="go" id="again" @click=${act}>${t("sign-in-window")}</button></div></main>`
      : problemPage(problem, t(problem.kind === "network" ? "try-again" : problem.kind === "frame" ? "sign-in-window" : "launch-again"), act);
  render(html`${bar(t("app.list"))}${page}`, root);
}

// ---- what is shown ----

const KEEPS: Record<Filter, (row: Row) => boolean> = {
  all: () => true,
  changed: (row) => row.changed !== "",
  missing: (row) => row.state !== "none" && (row.absent > 0 || row.thin.length > 0),
  none: (row) => row.state !== "there",
};

function folded(text: string): string {
  return text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();
}

function named(): Row[] {
  const parts = folded(state.sought).split(/\s+/).filter(Boolean);
  return (state.load?.rows ?? []).filter((row) => {
    const text = folded(`${row.name} ${row.number}`);
    return parts.every((part) => text.includes(part));
  });
}

function draw(): void {
  const loaded = state.load;
  if (!loaded) return;
  const found = named();
  const rows = found.filter(KEEPS[state.filter]);
  if (!rows.some((row) => row.patient === state.current)) state.current = rows[0]?.patient ?? "";
  render(
    html`${bar(t("app.list"), html`<button class="quiet-button" id="refresh" @click=${() => void refresh()}>${t("list.refresh")}</button>`)}
      <main class="list">
        <h1>${t("list.title")}</h1>
        <p class="soft">${t("list.read", { time: state.at, name: state.name || "?", days: RECENT, open: OPEN })}</p>
        ${loaded.rows.length ? html`${filters(found)}${notes(loaded)}${body(rows)}` : nobody()}
        <p class="soft foot">${t("disclaimer")}</p>
      </main>`,
    root,
  );
}

function filters(found: Row[]): TemplateResult {
  return html`<form class="card filters" role="search" @submit=${(event: Event) => event.preventDefault()}>
    <label class="find">${t("list.name")}
      <input type="text" id="name" autocomplete="off" spellcheck="false" .value=${state.sought} @input=${(event: Event) => sought((event.target as HTMLInputElement).value)} @keydown=${fromName} />
    </label>
    <fieldset><legend class="hidden">${t("list.show")}</legend>
      ${FILTERS.map((each) => html`<label class="chip"><input type="radio" name="filter" value=${each} .checked=${each === state.filter} @change=${() => keep(each)} />
        <span>${t(`list.filter.${each}` as Word)} <b>${found.filter(KEEPS[each]).length}</b></span></label>`)}
    </fieldset>
    <p class="soft keys">${t("list.keys")}</p>
  </form>`;
}

function notes(loaded: Caseload): TemplateResult {
  return html`${loaded.whole ? nothing : html`<p class="alarm">${t("list.cut")}</p>`}
    ${loaded.withheld.length ? html`<p class="alarm" id="withheld">${t("list.withheld", { what: loaded.withheld.join(", ") })}</p>` : nothing}
    <p class=${state.alarm ? "alarm" : "soft"} id="said" role="status">${state.said}</p>`;
}

function body(rows: Row[]): TemplateResult {
  const rest = rows.length - state.shown;
  return html`<p class="soft" id="count" aria-live="polite">${t("list.count", { count: rows.length, all: state.load!.rows.length })}</p>
    ${rows.length
      ? table(rows.slice(0, state.shown), state.current, (row) => void opened(row), moved)
      : html`<div class="card empty"><p>${t("list.nothing")}</p><button id="clear" @click=${clear}>${t("list.clear")}</button></div>`}
    ${rest > 0 ? html`<button id="more" @click=${() => ((state.shown += ROWS), draw())}>${t("list.more", { count: Math.min(rest, ROWS) })}</button>` : nothing}`;
}

function nobody(): TemplateResult {
  return html`<section class="card empty" id="nobody"><h2>${t("list.nobody")}</h2><p>${t("list.nobody.do")}</p>
    <button class="go" @click=${() => void refresh()}>${t("list.refresh")}</button></section>`;
}

function sought(text: string): void {
  [state.sought, state.shown] = [text, ROWS];
  draw();
}

function keep(filter: Filter): void {
  [state.filter, state.shown] = [filter, ROWS];
  draw();
}

function clear(): void {
  [state.sought, state.filter] = ["", "all"];
  draw();
  document.querySelector<HTMLElement>("#name")?.focus();
}

function say(text: string, alarm = false): void {
  [state.said, state.alarm] = [text, alarm];
  draw();
}

// ---- keys ----

function moved(patient: string): void {
  if (patient === state.current) return;
  state.current = patient;
  draw();
}

function focus(): void {
  document.querySelector<HTMLElement>("button[data-patient][tabindex='0']")?.focus();
}

function fromName(event: KeyboardEvent): void {
  if (event.key === "ArrowDown" || event.key === "Enter") {
    event.preventDefault();
    focus();
  } else if (event.key === "Escape" && state.sought) sought("");
}

addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement && event.target.type === "text";
  if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  document.querySelector<HTMLInputElement>("#name")?.focus();
});

// ---- the twin of one ----

/** Opens the twin: launched for the patient where that is allowed, else by itself, asking for the patient. */
async function opened(row: Row): Promise<void> {
  const session = state.session!;
  if (!session.granted.has("__launch")) {
    window.open(`${location.origin}/apps/twin/?iss=${encodeURIComponent(HERE)}`, "_blank", "noopener");
    return say(t("list.opened.alone", { name: row.name }));
  }
  const tab = window.open("about:blank", "_blank"); // at once, while the browser still knows that somebody pressed a key
  if (!tab) return say(t("list.popup"), true);
  try {
    tab.location.href = await launch(session.client, { client_id: "clarity-twin", patient: row.patient, need_patient_banner: true });
    say(t("list.opened", { name: row.name }));
  } catch (error) {
    tab.close();
    const problem = problemOf(error);
    if (problem.kind === "expired") stop(problem);
    else say(t("list.failed", { text: problem.detail }), true);
  }
}

void start();
