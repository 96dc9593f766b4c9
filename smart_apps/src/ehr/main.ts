/** The EHR simulator: a user, a patient, a visit, an app; launched, or broken on purpose, with every step shown. */
import type { Encounter, Patient } from "fhir/r4";
import { html, nothing, render, type TemplateResult } from "lit";

import { bar, problemPage } from "../shared/bar";
import { day, t, type Word } from "../shared/language";
import { type Asked, called, launch, user } from "../shared/launch";
import { Problem, problemOf } from "../shared/problems";
import { type App, type Session, again, open } from "../shared/session";
import "../shared/theme";
import { show } from "../shared/sources";
import { CHANNEL, TRACED, type Event_, watch } from "../shared/trace";
import { type Alert, Alerts } from "./alerts";
import "./ehr.css";
import { type Step, panel, stepOf } from "./flow";
import { encounters, patients } from "./launch";
import { CODE_SECONDS, ERRORS, type Fault, Probe, type Verdict } from "./probe";

const APP: App = {
  clientId: "clarity-ehr",
  scope: "launch __launch openid fhirUser online_access user/*.rs user/Subscription.cu",
  needs: ["user/Patient.rs"],
  patient: false,
};
/** Steps of the simulator itself that the panel shows; what it reads on the way would bury the flow of an app. */
const OWN: Step[] = ["launch", "token", "refresh", "revoke", "discovery"];
const PLACES = ["frame", "tab", "standalone"] as const;

const root = document.querySelector<HTMLElement>("#app")!;
const state = {
  session: null as Session | null, name: "", all: [] as Patient[], visits: [] as Encounter[], events: [] as Event_[],
  app: "clarity-twin", patient: "", where: "frame" as (typeof PLACES)[number], frame: "", message: "", waiting: "",
  fault: "none" as Fault, secret: false, verdict: null as Verdict | null, alerts: null as Alerts | null,
};

async function start(): Promise<void> {
  document.title = `Clarity · ${t("app.ehr")}`;
  render(html`${bar(t("app.ehr"))}<main class="loading"><p class="soft">${t("loading")}</p></main>`, root);
  try {
    const session = await open(APP);
    state.session = session;
    [state.name, state.all] = await Promise.all([user(session.client), patients(session.client)]);
    new BroadcastChannel(CHANNEL).onmessage = (event: MessageEvent<Event_>) => note(event.data);
    watch((event) => (OWN.includes(stepOf(event)) || state.waiting ? note(event) : undefined));
    await choose(state.all[0]?.id ?? "");
    root.dataset["ready"] = "yes";
    state.alerts = alerts(session);
    state.alerts.start();
  } catch (error) {
    stop(problemOf(error));
  }
}

function stop(problem: Problem): void {
  const first = problem.kind === "no-launch";
  const page = first
    ? html`<main class="card problem" data-problem="no-launch"><h1>${t("ehr.sign-in")}</h1><p>${t("ehr.sign-in.why")}</p><p>${t("ehr.sign-in.do")}</p>
        <div class="row"><button class="go" id="again" @click=${() => void begin()}>${t("sign-in-window")}</button></div></main>`
    : problemPage(problem, t("launch-again"), () => void begin());
  render(html`${bar(t("app.ehr"))}${page}`, root);
}

async function begin(): Promise<void> {
  await again(APP).catch((error) => stop(problemOf(error)));
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
  state.patient = patient;
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
  const asked: Asked = { client_id: text(form, "app"), need_patient_banner: form.has("banner") };
  for (const name of ["patient", "encounter", "intent"] as const) if (text(form, name)) asked[name] = text(form, name);
  state.app = asked.client_id;
  await opened(asked, state.where, text(form, "context"));
}

async function opened(asked: Asked, where: (typeof PLACES)[number], context = ""): Promise<void> {
  state.message = "";
  // a tab is opened at once, while the browser still knows that somebody clicked
  const tab = where === "frame" ? null : window.open("about:blank", `${TRACED}-${Date.now()}`);
  try {
    if (context) asked.fhirContext = JSON.parse(context);
    const url = await launch(state.session!.client, asked);
    const address = where === "standalone" ? url.split("?")[0]! : url;
    note({ kind: "redirect", at: Date.now(), url: address });
    if (tab) tab.location.href = address;
    else state.frame = address;
  } catch (error) {
    tab?.close();
    state.message = error instanceof Error ? error.message : String(error);
  }
  draw();
}

async function probed(event: SubmitEvent): Promise<void> {
  event.preventDefault();
  const form = new FormData(event.target as HTMLFormElement);
  const popup = window.open("about:blank", "clarity-probe", "width=560,height=760");
  if (!popup) return;
  const plan = { fault: state.fault, clientId: text(form, "client"), secret: state.secret ? text(form, "secret") : "", scope: text(form, "scope") };
  [state.verdict, state.waiting, state.events] = [null, t("ehr.waiting"), []];
  draw();
  const say = (step: Omit<Event_, "at">): void => note({ ...step, at: Date.now() });
  try {
    state.verdict = await new Probe(plan, say, (waits) => {
      state.waiting = waits;
      draw();
    }).run(popup);
  } catch (error) {
    state.verdict = { ok: false, text: error instanceof Error ? error.message : String(error) };
  }
  state.waiting = "";
  say({ kind: "note", text: `${t(state.verdict.ok ? "ehr.passed" : "ehr.failed")}: ${state.verdict.text}` });
}

// ---- the page ----

function draw(): void {
  render(
    html`${bar(t("app.ehr"))}
      ${state.alerts?.messages() ?? nothing}
      <main class="ehr">
        <div class="forms">${launchForm()} ${probeForm()}</div>
        <div class="stage">
          ${state.alerts?.list() ?? nothing}
          ${state.frame ? html`<iframe class="card" id="stage" name=${`${TRACED}-frame`} title=${state.app} src=${state.frame}></iframe>` : nothing}
          ${panel(state.events, () => ((state.events = []), draw()))}
        </div>
      </main>`,
    root,
  );
}

function launchForm(): TemplateResult {
  return html`<form class="card" id="launch" @submit=${launched}>
    <h1>${t("ehr.launch.title")}</h1>
    <p class="soft">${t("ehr.user")}: <strong>${state.name}</strong> · <a href="/oauth2/apps" target="_blank" rel="noopener">${t("ehr.switch")}</a></p>
    <label>${t("ehr.patient")}
      <select name="patient" @change=${(event: Event) => void choose((event.target as HTMLSelectElement).value)}>
        ${state.all.map((each) => html`<option value=${each.id ?? ""} ?selected=${each.id === state.patient}>${called(each.name)} · ${each.birthDate ? day(each.birthDate) : ""}</option>`)}
      </select></label>
    <label>${t("ehr.encounter")}
      <select name="encounter"><option value="">${t("ehr.encounter.none")}</option>
        ${state.visits.map((each) => html`<option value=${each.id ?? ""}>${day(each.period?.start ?? "1970-01-01")} · ${each.type?.[0]?.text ?? each.class.code ?? ""}</option>`)}
      </select></label>
    <label>${t("ehr.app")}<input type="text" name="app" list="apps" .value=${state.app} required autocomplete="off" /></label>
    <datalist id="apps">${["clarity-twin", "clarity-list", "clarity-mine"].map((each) => html`<option value=${each}></option>`)}</datalist>
    <fieldset><legend>${t("ehr.where")}</legend>
      ${PLACES.map((place) => html`<label class="inline"><input type="radio" name="where" value=${place} ?checked=${place === state.where} @change=${() => (state.where = place)} /> ${t(`ehr.where.${place}` as Word)}</label>`)}
    </fieldset>
    <details><summary class="soft">${t("details")}</summary>
      <label>${t("ehr.intent")}<input type="text" name="intent" autocomplete="off" /></label>
      <label>${t("ehr.context")}<textarea name="context" rows="2" placeholder='[{"reference": "ImagingStudy/1"}]'></textarea></label>
      <label class="inline"><input type="checkbox" name="banner" checked /> ${t("ehr.banner")}</label>
    </details>
    ${state.message ? html`<p class="alarm" role="alert">${state.message}</p>` : nothing}
    <button class="go" id="go">${t("ehr.launch")}</button>
  </form>`;
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
    <label>${t("ehr.probe.scope")}<input type="text" name="scope" value="launch/patient openid fhirUser online_access patient/*.rs" /></label>
    <label>${t("ehr.probe.id")}<input type="text" name="client" value="clarity-ehr" required /></label>
    <fieldset><legend>${t("ehr.probe.client")}</legend>
      <label class="inline"><input type="radio" name="kind" ?checked=${!state.secret} @change=${() => ((state.secret = false), draw())} /> ${t("ehr.probe.client.public")}</label>
      <label class="inline"><input type="radio" name="kind" ?checked=${state.secret} @change=${() => ((state.secret = true), draw())} /> ${t("ehr.probe.client.secret")}</label>
    </fieldset>
    ${state.secret ? html`<label>${t("ehr.probe.secret")}<input type="text" name="secret" autocomplete="off" /></label>` : nothing}
    <p class="soft">${t("ehr.probe.hint")}</p>
    <button id="run" ?disabled=${!!state.waiting}>${t("ehr.probe.run")}</button>
    <p class="verdict" role="status">${state.waiting || nothing}${verdict ? html`<strong class=${verdict.ok ? "good" : "bad"} data-ok=${String(verdict.ok)}>${t(verdict.ok ? "ehr.passed" : "ehr.failed")}</strong> ${verdict.text}` : nothing}</p>
  </form>`;
}

void start();
