/** The clinician's twin: one patient, thirty seconds before the visit. */
import type { Patient } from "fhir/r4";
import { html, nothing, render } from "lit";

import { bar, problemPage } from "../shared/bar";
import { day, t } from "../shared/language";
import { Problem, problemOf } from "../shared/problems";
import { type App, type Session, again, open } from "../shared/session";
import { type Source, show } from "../shared/sources";
import { wear } from "../shared/theme";
import "./twin.css";
import { Actogram } from "./actogram";
import { Axis } from "./axis";
import { type Record_, between, read, shift } from "./data";
import { type Panel, models, panel } from "./risk";
import { Pair } from "./pair";
import { type Choice, cards, changes, missing, period, risks } from "./summary";
import { Timeline } from "./timeline";

const TYPES = ["Encounter", "Condition", "MedicationRequest", "MedicationStatement", "QuestionnaireResponse", "RiskAssessment", "DetectedIssue", "Provenance"];
const APP: App = {
  clientId: "clarity-twin",
  scope: `launch launch/patient openid fhirUser online_access ${["Patient", "Observation", ...TYPES].map((type) => `patient/${type}.rs`).join(" ")} user/Device.rs user/Library.rs`,
  needs: ["patient/Patient.rs", "patient/Observation.rs"],
};
/** Days that are read at first: three months to show, and a month before them to compare with. */
const FIRST = 120;
const PERIODS: Choice[] = ["visit", 7, 14, 28, "two"];

const root = document.querySelector<HTMLElement>("#app")!;
const today = new Intl.DateTimeFormat("en-CA").format(new Date());
const state: { session?: Session; record?: Record_; panel?: Panel; failed: string; choice: Choice } = { choice: "visit", failed: "" };
let axis: Axis | null = null;
let actogram: Actogram | null = null;
let pair: Pair | null = null;

async function start(): Promise<void> {
  document.title = `Clarity · ${t("app.twin")}`;
  root.replaceChildren(); // what stood there while this script was on its way
  render(html`${bar(t("app.twin"))}<main class="loading" aria-busy="true"><p class="soft">${t("loading")}</p></main>`, root);
  try {
    state.session = await open(APP);
    await load();
  } catch (error) {
    stop(problemOf(error));
  }
}

/** Reads and draws: what changed and the axis as soon as they are here, alerts and models when they are. */
async function load(): Promise<void> {
  const { client, patient } = state.session!;
  const timeline = new Timeline(client, patient, today);
  const opens = (source: Source): void => void show(client, source);
  const rows = (actogram = new Actogram(state.session!, today, opens));
  pair = new Pair(timeline, today, draw);
  axis = new Axis(state.session!, timeline, today, opens, (days) => rows.over(days));
  const later = panel(client, patient).then(
    (found) => { state.panel = found; },
    (error: unknown) => { state.failed = problemOf(error).detail || problemOf(error).kind; },
  );
  state.record = await read(client, patient, timeline, shift(today, -FIRST), today);
  draw();
  await axis.show(state.record);
  root.dataset["painted"] = "yes";
  await later;
  draw();
  root.dataset["ready"] = "yes";
}

function stop(problem: Problem): void {
  const label: Partial<Record<Problem["kind"], string>> = {
    "no-launch": t("sign-in"), frame: t("sign-in-window"), network: t("try-again"), none: t("try-again"),
  };
  const act = ["network", "none"].includes(problem.kind) ? () => location.reload() : () => void again(APP).catch((error) => stop(problemOf(error)));
  render(html`${bar(t("app.twin"))}${problemPage(problem, label[problem.kind] ?? t("launch-again"), act)}`, root);
  axis = null;
}

function draw(): void {
  const { session, record } = state;
  if (!session || !record) return;
  const compared = (state.choice === "two" ? pair?.period() : null) ?? period(record, state.choice, today);
  const found = changes(compared);
  const opens = (source: Source): void => void show(session.client, source);
  render(
    html`${bar(t("app.twin"), html`<a class="quiet-button" href="../notes/?iss=${encodeURIComponent(session.client.state.serverUrl)}">${t("app.notes")}</a>`, html`<button class="quiet-button" id="print" @click=${() => window.print()}>${t("print")}</button>`)}
      <main class="twin">
        ${session.banner ? banner(record.patient) : nothing}
        <section class="card since" aria-labelledby="since">
          <div class="row head">
            <div><h1 id="since">${compared.heading}</h1><p class="soft">${compared.why}${state.choice === "two" ? nothing : t("since.before", { days: compared.before.length })}</p></div>
            <label class="choose">${t("since.compare")}
              <select id="period" @change=${(event: Event) => choose((event.target as HTMLSelectElement).value)}>
                ${PERIODS.map((each) => html`<option value=${each} ?selected=${each === state.choice}>${typeof each === "number" ? t("since.period.days", { days: each }) : t(`since.period.${each}`)}</option>`)}
              </select>
            </label>
          </div>
          ${state.choice === "two" ? pair?.form() : nothing}
          ${cards(found, record, opens)}
          <details class="method"><summary class="soft">${t("details")}</summary><p class="soft">${t("change.method")}</p></details>
        </section>
        <section class="card side" aria-label=${t("missing")}>${missing(record, found, today)}${risks(record, compared, opens)}</section>
        ${state.panel ? models(state.panel, today, opens) : html`<section class="card models" id="models" aria-busy=${state.failed ? "false" : "true"}>
          ${state.failed ? html`<p class="alarm" role="alert">${t("models.failed", { text: state.failed })}</p>` : html`<p class="soft">${t("loading")}</p>`}</section>`}
        <section class="card axis" aria-label=${t("chart.axis")}><div id="axis"></div><div id="chart"></div></section>
        ${actogram?.section() ?? nothing}
        <p class="soft foot">${t("disclaimer")} <span class="printed">${t("printed", { date: day(today) })}</span></p>
      </main>`,
    root,
  );
}

function choose(value: string): void {
  const { record, choice } = state;
  if (value === "two" && record) pair?.begin(period(record, choice, today));
  state.choice = value === "visit" || value === "two" ? value : Number(value);
  draw();
}

function banner(patient: Patient): unknown {
  const name = patient.name?.[0];
  const full = name?.text ?? [...(name?.given ?? []), name?.family ?? ""].join(" ");
  const age = patient.birthDate ? Math.floor(between(patient.birthDate, today) / 365.2425) : null;
  const number_ = patient.identifier?.find((each) => each.type?.coding?.some((coding) => coding.code === "MR"))?.value;
  return html`<section class="banner" aria-label="Patient">
    <strong>${full}</strong>
    ${age === null ? nothing : html`<span>${t("years", { count: age })}</span><span class="soft">${t("born", { date: day(patient.birthDate ?? "") })}</span>`}
    ${number_ ? html`<span class="soft">${number_}</span>` : nothing}
  </section>`;
}

// On paper it is light, and as wide as the paper.
addEventListener("beforeprint", () => {
  wear("light");
  axis?.fit(1140);
});
addEventListener("afterprint", () => {
  axis?.fit();
  wear();
});

void start();
