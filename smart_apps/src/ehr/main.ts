/** The EHR simulator: a user, a patient, a visit, an app; launched, or broken on purpose, with every step shown. */
import type { Encounter, Patient } from "fhir/r4";
import { html, nothing, render, type TemplateResult } from "lit";

import { bar, problemPage } from "../shared/bar";
import { day, t, type Word } from "../shared/language";
import { type Asked, called, handle, launch, user } from "../shared/launch";
import { Problem, problemOf } from "../shared/problems";
import { type App, POPUP, type Session, WINDOW, again, open } from "../shared/session";
import "../shared/theme";
import { show } from "../shared/sources";
import { CHANNEL, TRACED, type Event_, watch } from "../shared/trace";
import { type Alert, Alerts } from "./alerts";
import "./ehr.css";
import { type Step, panel, stepOf } from "./flow";
import { encounters, patients } from "./launch";
import { CODE_SECONDS, ERRORS, type Fault, type Kind, KINDS, Probe, type Verdict } from "./probe";
import { Registration } from "./register";

const APP: App = {
  clientId: "clarity-ehr",
  scope: "launch __launch openid fhirUser online_access user/*.rs user/Subscription.cu",
  needs: ["user/Patient.rs"],
  patient: false,
};
/** Steps of the simulator itself that the panel shows; what it reads on the way would bury the flow of an app. */
const OWN: Step[] = ["launch", "token", "refresh", "revoke", "discovery", "register"];
/** Our own apps that are launched, by the name of their words. */
const KNOWN = ["twin", "list", "mine", "notes"] as const;
const PLACES = ["frame", "tab", "standalone"] as const;

const root = document.querySelector<HTMLElement>("#app")!;
const state = {
  session: null as Session | null, name: "", all: [] as Patient[], visits: [] as Encounter[], events: [] as Event_[],
  app: "clarity-twin", patient: "", where: "frame" as (typeof PLACES)[number], frame: "", named: `${TRACED}-frame`, message: "", waiting: "",
  fault: "none" as Fault, kind: "public" as Kind, client: "clarity-ehr", launches: false, verdict: null as Verdict | null, alerts: null as Alerts | null,
};

const registration = new Registration(
  draw,
  (id) => {
    state.app = id;
    draw();
    document.querySelector<HTMLElement>("#go")?.focus();
  },
  (id, kind) => {
    [state.client, state.kind] = [id, kind];
    draw();
    document.querySelector<HTMLElement>(kind === "secret" ? "#probe [name=secret]" : "#run")?.focus();
  },
);

/** Under this name the library keeps the key of a tab's session; an app in the frame, of the same tab, puts its own in its place. */
const SMART_KEY = "SMART_KEY";
let own = "";
addEventListener("pagehide", () => {
  if (!own || !state.session) return;
  sessionStorage.setItem(SMART_KEY, own); // so that a reload is that of the EHR
  sessionStorage.setItem(JSON.parse(own) as string, JSON.stringify(state.session.client.state));
});

async function start(): Promise<void> {
  document.title = `Clarity · ${t("app.ehr")}`;
  render(html`${bar(t("app.ehr"))}<main class="loading"><p class="soft">${t("loading")}</p></main>`, root);
  try {
    const session = await open(APP);
    state.session = session;
    own = sessionStorage.getItem(SMART_KEY) ?? "";
    [state.name, state.all] = await Promise.all([user(session.client), patients(session.client)]);
    new BroadcastChannel(CHANNEL).onmessage = (event: MessageEvent<Event_>) => note(event.data);
    watch((event) => (OWN.includes(stepOf(event)) || state.waiting ? note(event) : undefined));
    root.dataset["ready"] = "yes";
    await choose(state.all[0]?.id ?? "");
    state.alerts = alerts(session);
    state.alerts.start();
  } catch (error) {
    stop(problemOf(error));
  }
}

function stop(problem: Problem): void {
  delete root.dataset["ready"];
  const first = problem.kind === "no-launch";
  const page = first
    ? html`<main class="card problem" data-problem="no-launch"><h1>${t("ehr.sign-in")}</h1><p>${t("ehr.sign-in.why")}</p><p>${t("ehr.sign-in.do")}</p>
        <div class="row"><button class="go" id="again" @click=${() => void begin()}>${t("sign-in-window")}</button></div></main>`
    : problemPage(problem, t("launch-again"), () => void begin());
  render(html`${bar(t("app.ehr"))}${page}`, root);
}

async function begin(prompt?: "login"): Promise<void> {
  own = "";
  await again(APP, prompt).catch((error) => stop(problemOf(error)));
}

function alerts(session: Session): Alerts {
  return new Alerts(session.client, {
    draw,
    name: (patient) => called(state.all.find((each) => each.id === patient)?.name) || patient,
    tell: (step) => note({ ...step, at: Date.now() }),
    resource: (alert) => void show(session.client, { title: alert.what, items: [{ reference: alert.reference, text: alert.reference }] }),
    twin: (alert) => void twin(alert),
    again: () => void begin(),
  });
}

/** The twin of the patient of an alert, who is the chosen one from then on. */
async function twin(alert: Alert): Promise<void> {
  const place = state.where === "tab" ? "tab" : "frame";
  const opens = opened({ client_id: "clarity-twin", patient: alert.patient }, place);
  await choose(alert.patient);
  await opens;
}

function note(event: Event_): void {
  state.events = [...state.events.slice(-199), event];
  draw();
}

async function choose(patient: string): Promise<void> {
  [state.patient, state.visits] = [patient, []]; // those of the patient before are nobody's to choose meanwhile
  draw();
  state.visits = patient ? await encounters(state.session!.client, patient) : [];
  draw();
}

// ---- launching ----

function text(form: FormData, name: string): string {
  return String(form.get(name) ?? "").trim();
}

async function launched(event: SubmitEvent): Promise<void> {
  event.preventDefault();
  const form = new FormData(event.target as HTMLFormElement);
  state.app = text(form, "app");
  await opened(contextOf(form, state.app), state.where, text(form, "context"));
}

/** What the form of launches has chosen beside the app. */
function contextOf(form: FormData, client: string): Asked {
  const asked: Asked = { client_id: client, need_patient_banner: form.has("banner") };
  for (const name of ["patient", "encounter", "intent"] as const) if (text(form, name)) asked[name] = text(form, name);
  return asked;
}

async function opened(asked: Asked, where: (typeof PLACES)[number], context = ""): Promise<void> {
  state.message = "";
  // a window is opened at once, while the browser still knows that somebody clicked; for a frame it is that of the sign-in
  const opens = where === "frame" ? window.open("about:blank", POPUP, "width=560,height=760") : window.open("about:blank", `${TRACED}-${Date.now()}`);
  try {
    if (context) asked.fhirContext = others(context);
    const url = await launch(state.session!.client, asked);
    const address = where === "standalone" ? url.split("?")[0]! : url;
    note({ kind: "redirect", at: Date.now(), url: address });
    if (where === "frame") framed(address, opens);
    else if (opens) opens.location.href = address;
  } catch (error) {
    opens?.close();
    state.message = error instanceof Error ? error.message : String(error);
  }
  draw();
}

/** Shows an app in the frame; one of another origin opens its own windows, ours find the one that is open. */
function framed(address: string, signIn: Window | null): void {
  const ours = new URL(address).origin === location.origin;
  if (!ours) signIn?.close();
  state.named = `${TRACED}-frame${ours && signIn ? WINDOW : ""}`;
  state.frame = address;
}

/** `fhirContext` as it was typed; what is no array of objects is told before anybody is asked. */
function others(text: string): unknown {
  let found: unknown = null;
  try {
    found = JSON.parse(text);
  } catch {
    found = null; // told below, with what it should be
  }
  if (!Array.isArray(found) || found.some((each) => typeof each !== "object" || each === null)) throw new Problem("denied", t("ehr.context.wrong"));
  return found;
}

async function probed(event: SubmitEvent): Promise<void> {
  event.preventDefault();
  const form = new FormData(event.target as HTMLFormElement);
  const popup = window.open("about:blank", "clarity-probe", "width=560,height=760");
  if (!popup) return;
  [state.verdict, state.waiting, state.events] = [null, t("ehr.waiting"), []];
  draw();
  const say = (step: Omit<Event_, "at">): void => note({ ...step, at: Date.now() });
  try {
    state.client = text(form, "client");
    const plan = { fault: state.fault, clientId: state.client, kind: state.kind, secret: text(form, "secret"), scope: text(form, "scope"), launch: await prelaunched() };
    state.verdict = await new Probe(plan, say, (waits) => {
      state.waiting = waits;
      draw();
    }).run(popup);
  } catch (error) {
    popup.close();
    state.verdict = { ok: false, text: error instanceof Error ? error.message : String(error) };
  }
  state.waiting = "";
  say({ kind: "note", text: `${t(state.verdict.ok ? "ehr.passed" : "ehr.failed")}: ${state.verdict.text}` });
}

/** The handle of a launch with all that the form of launches has chosen, for a flow that is one of an EHR. */
async function prelaunched(): Promise<string> {
  if (!state.launches) return "";
  const form = new FormData(document.querySelector<HTMLFormElement>("#launch")!);
  const asked = contextOf(form, state.client);
  if (text(form, "context")) asked.fhirContext = others(text(form, "context"));
  return (await handle(state.session!.client, asked)).launch;
}

// ---- the page ----

function draw(): void {
  if (!root.dataset["ready"]) return; // another page stands there: signing in, or a problem
  render(
    html`${bar(t("app.ehr"))}
      ${state.alerts?.messages() ?? nothing}
      <main class="ehr">
        <div class="forms">${launchForm()} ${registration.form()} ${probeForm()}</div>
        <div class="stage">
          ${state.frame ? html`<iframe class="card" id="stage" name=${state.named} title=${state.app} src=${state.frame}></iframe>` : nothing}
          ${state.alerts?.list() ?? nothing}
          ${panel(state.events, () => ((state.events = []), draw()))}
        </div>
      </main>`,
    root,
  );
}

function launchForm(): TemplateResult {
  return html`<form class="card" id="launch" @submit=${launched}>
    <h1>${t("ehr.launch.title")}</h1>
    <p class="soft">${t("ehr.user")}: <strong>${state.name}</strong> · <button type="button" class="link" id="switch" @click=${() => void begin("login")}>${t("ehr.switch")}</button></p>
    <label>${t("ehr.patient")}
      <select name="patient" @change=${(event: Event) => void choose((event.target as HTMLSelectElement).value)}>
        ${state.all.map((each) => html`<option value=${each.id ?? ""} ?selected=${each.id === state.patient}>${called(each.name)} · ${each.birthDate ? day(each.birthDate) : ""}</option>`)}
      </select></label>
    <label>${t("ehr.encounter")}
      <select name="encounter"><option value="">${t("ehr.encounter.none")}</option>
        ${state.visits.map((each) => html`<option value=${each.id ?? ""}>${day(each.period?.start ?? "1970-01-01")} · ${each.type?.[0]?.text ?? each.class.code ?? ""}</option>`)}
      </select></label>
    ${appChoice()}
    <fieldset><legend>${t("ehr.where")}</legend>
      ${PLACES.map((place) => html`<label class="inline"><input type="radio" name="where" value=${place} ?checked=${place === state.where} @change=${() => (state.where = place)} /> ${t(`ehr.where.${place}` as Word)}</label>`)}
    </fieldset>
    <details><summary class="soft">${t("ehr.more")}</summary>
      <label>${t("ehr.intent")}<input type="text" name="intent" autocomplete="off" /></label>
      <label>${t("ehr.context")}<textarea name="context" rows="2" placeholder='[{"reference": "ImagingStudy/1"}]'></textarea></label>
      <label class="inline"><input type="checkbox" name="banner" checked /> ${t("ehr.banner")}</label>
    </details>
    ${state.message ? html`<p class="alarm" role="alert">${state.message}</p>` : nothing}
    <button class="go" id="go">${t("ehr.launch")}</button>
  </form>`;
}

/** The apps that are known here by name, and a field for the id of any other. */
function appChoice(): TemplateResult {
  const known = [...KNOWN.map((id) => [`clarity-${id}`, t(`app.${id}`)] as const), ...registration.ready.map((each) => [each.id, each.name] as const)];
  const other = !known.some(([id]) => id === state.app);
  const chosen = (event: Event): void => {
    state.app = (event.target as HTMLSelectElement).value;
    draw();
    if (!state.app) document.querySelector<HTMLElement>("#launch input[name=app]")?.focus();
  };
  return html`<label>${t("ehr.app")}
      <select name="known" @change=${chosen}>
        ${known.map(([id, name]) => html`<option value=${id} ?selected=${id === state.app}>${name}</option>`)}
        <option value="" ?selected=${other}>${t("ehr.app.other")}</option>
      </select></label>
    <label ?hidden=${!other}>${t("ehr.app.id")}<input type="text" name="app" .value=${state.app} @change=${(event: Event) => (state.app = (event.target as HTMLInputElement).value.trim())} required autocomplete="off" /></label>`;
}

function probeForm(): TemplateResult {
  const { fault, verdict } = state;
  return html`<form class="card" id="probe" @submit=${probed}>
    <h2>${t("ehr.probe.title")}</h2>
    <label>${t("ehr.probe.error")}
      <select name="fault" @change=${(event: Event) => ((state.fault = (event.target as HTMLSelectElement).value as Fault), draw())}>
        ${ERRORS.map((each) => html`<option value=${each} ?selected=${each === fault}>${t(`ehr.error.${each}` as Word)}</option>`)}
      </select></label>
    <p class="soft">${t("ehr.expect", { text: t(`ehr.expect.${fault}` as Word, { seconds: CODE_SECONDS }) })}</p>
    <fieldset><legend>${t("ehr.probe.way")}</legend>
      ${[false, true].map((way) => html`<label class="inline"><input type="radio" name="way" value=${way ? "ehr" : "standalone"} .checked=${way === state.launches} @change=${() => ((state.launches = way), draw())} /> ${t(way ? "ehr.probe.way.ehr" : "ehr.where.standalone")}</label>`)}
    </fieldset>
    <label>${t("ehr.probe.scope")}<textarea name="scope" rows="3" .value=${`${state.launches ? "launch" : "launch/patient"} openid fhirUser online_access patient/*.rs`}></textarea></label>
    <label>${t("ehr.probe.id")}<input type="text" name="client" .value=${state.client} required autocomplete="off" /></label>
    <fieldset><legend>${t("ehr.probe.client")}</legend>
      ${KINDS.map((kind) => html`<label class="inline"><input type="radio" name="kind" value=${kind} .checked=${kind === state.kind} @change=${() => ((state.kind = kind), draw())} /> ${t(`ehr.probe.client.${kind}` as Word)}</label>`)}
    </fieldset>
    ${state.kind === "secret" ? html`<label>${t("ehr.probe.secret")}<input type="text" name="secret" autocomplete="off" /></label>` : nothing}
    ${state.kind === "key" ? html`<p class="soft">${t("ehr.probe.key")}</p>` : nothing}
    <p class="soft">${t("ehr.probe.hint")}</p>
    <button id="run" ?disabled=${!!state.waiting}>${t("ehr.probe.run")}</button>
    <p class="verdict" role="status">${state.waiting || nothing}${verdict ? html`<strong class=${verdict.ok ? "good" : "bad"} data-ok=${String(verdict.ok)}>${t(verdict.ok ? "ehr.passed" : "ehr.failed")}</strong> ${verdict.text}` : nothing}</p>
  </form>`;
}

void start();
