/** Notes: draft what happened since the last one, look where each sentence comes from, edit, sign. */
import type { Patient } from "fhir/r4";
import { html, nothing, render, type TemplateResult } from "lit";

import { bar, problemPage } from "../shared/bar";
import { type Any, all, get, local } from "../shared/fhir";
import { day, language, named, number, t } from "../shared/language";
import { Problem, problemOf } from "../shared/problems";
import { type App, type Session, again, open } from "../shared/session";
import { show } from "../shared/sources";
import "../shared/theme";
import "./notes.css";
import { type Note, type Section, type Statement, lines, targets } from "./note";
import { Refused, draft, notes, sign } from "./server";

const TYPES = ["Encounter", "Condition", "MedicationRequest", "MedicationStatement", "QuestionnaireResponse", "RiskAssessment",
  "DetectedIssue", "AllergyIntolerance", "MedicationAdministration", "Provenance"];
const APP: App = {
  clientId: "clarity-notes",
  scope: `launch launch/patient openid fhirUser online_access ${["Patient", "Observation", ...TYPES].map((type) => `patient/${type}.rs`).join(" ")} patient/DocumentReference.crus`,
  needs: ["patient/Patient.rs", "patient/Observation.rs", "patient/DocumentReference.rs"],
};
const KINDS = ["progress", "soap", "intake", "discharge"];
const root = document.querySelector<HTMLElement>("#app")!;

interface State {
  session?: Session;
  patient?: Patient;
  known: Note[];
  note: Note | null;
  edits: Map<string, string>;
  editing: string | null;
  progress: string | null;
  failed: string;
  accepted: boolean;
  /** What the last refusal is called: `sign-unsupported` when a source was changed after the draft was read. */
  refused: string;
}
const state: State = { known: [], note: null, edits: new Map(), editing: null, progress: null, failed: "", accepted: false, refused: "" };

async function start(): Promise<void> {
  document.title = `Clarity · ${t("app.notes")}`;
  render(html`${bar(t("app.notes"))}<main class="loading" aria-busy="true"><p class="soft">${t("loading")}</p></main>`, root);
  try {
    const session = (state.session = await open(APP));
    [state.patient, state.known] = await Promise.all([get<Patient>(session.client, `Patient/${session.patient}`), notes(session.client, session.patient)]);
    draw();
  } catch (error) {
    stop(problemOf(error));
  }
}

function stop(problem: Problem): void {
  const label: Partial<Record<Problem["kind"], string>> = {
    "no-launch": t("sign-in"), frame: t("sign-in-window"), network: t("try-again"), none: t("try-again"),
  };
  const act = ["network", "none"].includes(problem.kind) ? () => location.reload() : () => void again(APP).catch((error) => stop(problemOf(error)));
  render(html`${bar(t("app.notes"))}${problemPage(problem, label[problem.kind] ?? t("launch-again"), act)}`, root);
}

/** Does something that the server may refuse; what it says stands on the page. */
async function attempt(act: (session: Session) => Promise<void>): Promise<void> {
  state.failed = "";
  try {
    await act(state.session!);
  } catch (error) {
    const problem = problemOf(error);
    if (problem.kind === "expired") return stop(problem);
    Object.assign(state, { failed: problem.detail, refused: problem instanceof Refused ? problem.code : "" });
  }
  state.progress = null;
  draw();
}

function ask(event: Event): void {
  event.preventDefault();
  const form = new FormData(event.target as HTMLFormElement);
  const given: Record<string, string> = { type: String(form.get("type")), language };
  if (form.get("since")) given["since"] = String(form.get("since"));
  state.progress = t("notes.waiting");
  draw();
  void attempt(async ({ client, patient }) => {
    const made = await draft(client, patient, given, () => {
      state.progress = t("notes.working");
      draw();
    });
    state.known = [made, ...state.known];
    pick(made);
  });
}

function pick(note: Note): void {
  Object.assign(state, { note, edits: new Map<string, string>(), editing: null, accepted: false, failed: "", refused: "" });
  draw();
  document.querySelector<HTMLElement>("#note-title")?.focus();
}

function put(): void {
  const note = state.note!;
  state.progress = t("notes.signing");
  draw();
  void attempt(async ({ client }) => {
    const signed = await sign(client, note, state.edits, state.accepted);
    state.known = state.known.map((each) => (each.id === signed.id ? signed : each));
    pick(signed);
  });
}

function draw(): void {
  const { session, patient, note } = state;
  if (!session || !patient) return;
  const name = patient.name?.[0];
  render(
    html`${bar(t("app.notes"))}
      <main class="notes">
        ${session.banner ? html`<section class="banner" aria-label="Patient"><strong>${name?.text ?? [...(name?.given ?? []), name?.family ?? ""].join(" ")}</strong>${patient.birthDate ? html`<span class="soft">${t("born", { date: day(patient.birthDate) })}</span>` : nothing}</section>` : nothing}
        <section class="card asked" aria-label=${t("notes.draft")}>
          <form class="row" @submit=${ask}>
            <label>${t("notes.kind")} <select name="type">${KINDS.map((each) => html`<option value=${each}>${named("notes.kind", each, each)}</option>`)}</select></label>
            <label>${t("notes.since")} <input type="date" name="since" /></label>
            <button class="go" id="draft" ?disabled=${state.progress !== null}>${t("notes.draft")}</button>
          </form>
          <p class="soft">${t("notes.since.why")}</p>
          <p role="status" id="progress">${state.progress ?? ""}</p>
          ${state.failed ? html`<p class="alarm" role="alert">${state.failed}</p>` : nothing}
          ${state.known.length ? html`<h2>${t("notes.known")}</h2><ul class="known">${state.known.map((each) => html`<li><button class="link" aria-current=${each.id === note?.id ? "true" : "false"} @click=${() => pick(each)}>${each.title}, ${day(each.date)}</button> <span class="soft">${named("notes.status", each.status, each.status)}</span></li>`)}</ul>` : nothing}
        </section>
        ${note ? written(session, note) : html`<section class="card"><p class="soft">${t("notes.none")}</p></section>`}
      </main>`,
    root,
  );
  root.dataset["ready"] = "yes";
}

function written(session: Session, note: Note): TemplateResult {
  const places = targets(note);
  const open_ = note.status === "preliminary";
  const left = state.refused === "sign-unsupported" || note.sections.some((each) => !state.edits.has(each.code) && each.statements.some((one) => one.problems.length));
  return html`<article class="card note" aria-labelledby="note-title">
    <div class="row head">
      <h1 id="note-title" tabindex="-1">${note.title}</h1>
      <span class="mark" data-status=${note.status}>${named("notes.status", note.status, note.status)}</span>
    </div>
    <p class="soft">${t("notes.support", { supported: note.supported, statements: note.statements })}
      ${note.method === "rules" ? t("notes.by-rules") : t("notes.by-model", { model: note.method })}${note.reason ? ` ${note.reason}.` : ""}
      ${note.changed === null ? "" : t("notes.changed", { part: number(note.changed * 100, 1) })}</p>
    ${note.sections.map((each) => section(session, note, each, places, open_))}
    <div class="row signing">
      ${open_ && left ? html`<label><input type="checkbox" id="accept" .checked=${state.accepted} @change=${(event: Event) => { state.accepted = (event.target as HTMLInputElement).checked; draw(); }} /> ${t("notes.accept")}</label>` : nothing}
      <button class="go" id="sign" ?disabled=${state.progress !== null || state.editing !== null || (open_ && left && !state.accepted) || (!open_ && !state.edits.size)} @click=${put}>${open_ ? t("notes.sign") : t("notes.amend")}</button>
      <span class="soft">${t("notes.sign.why")}</span>
    </div>
  </article>`;
}

function section(session: Session, note: Note, each: Section, places: string[], open_: boolean): TemplateResult {
  const edited = state.edits.get(each.code);
  const id = `section-${each.code}`;
  const save = (): void => {
    const text = document.querySelector<HTMLTextAreaElement>(`#${id} textarea`)?.value ?? "";
    if (text !== lines(each)) state.edits.set(each.code, text);
    else state.edits.delete(each.code);
    state.editing = null;
    draw();
  };
  const edit = (): void => {
    state.editing = each.code;
    draw();
    document.querySelector<HTMLElement>(`#${id} textarea`)?.focus();
  };
  return html`<section id=${id} aria-labelledby="${id}-title">
    <div class="row head"><h2 id="${id}-title">${each.title}</h2>
      ${each.code === "method" ? nothing : state.editing === each.code
        ? html`<button @click=${save}>${t("notes.keep")}</button>`
        : html`<button class="quiet-button" aria-label="${t("notes.edit")}: ${each.title}" ?disabled=${state.editing !== null} @click=${edit}>${t("notes.edit")}</button>`}
    </div>
    ${state.editing === each.code
      ? html`<textarea rows=${Math.max(4, each.statements.length + 2)} aria-label=${each.title} .value=${edited ?? lines(each)}></textarea>`
      : edited !== undefined
        ? html`<p class="soft">${open_ ? t("notes.edited") : t("notes.edited.amend")}</p><ul>${edited.split("\n").filter(Boolean).map((line) => html`<li>${line}</li>`)}</ul>`
        : html`<ul>${each.statements.map((one) => sentence(session, note, one, places))}</ul>`}
  </section>`;
}

function sentence(session: Session, note: Note, one: Statement, places: string[]): TemplateResult {
  const cited = [...new Set(one.citations.map((each) => each.target))];
  return html`<li class=${one.form} data-problems=${one.problems.join(" ") || nothing}>${one.text}
    ${cited.map((target) => html`<button class="cite" aria-label=${t("notes.cite", { target: target.split("?")[0]!.split("/")[0]!, place: places.indexOf(target) + 1 })} @click=${() => void source(session, target, note)}>${places.indexOf(target) + 1}</button>`)}
    ${one.problems.length ? html`<span class="tag">${t("notes.unsupported")}: ${one.problems.map((each) => named("notes.problem", each, each)).join(", ")}</span>` : nothing}
    ${one.form === "clinician" ? html`<span class="soft">${t("notes.own")}</span>` : nothing}</li>`;
}

/** The element that tells when a resource was. */
const WHEN: Record<string, string> = { Observation: "effective", QuestionnaireResponse: "authored", Encounter: "period" };

/** Opens what a sentence rests on: a resource, or all that a search finds. */
async function source(session: Session, target: string, note: Note): Promise<void> {
  if (local(target)) return show(session.client, { title: note.title, items: [{ reference: target, text: target }] });
  try {
    const found = await all<never>(session.client, `${target}&_count=100&_elements=${WHEN[target.split("?")[0]!] ?? "id"}`);
    const items = (found as Any[]).map((each) => ({ reference: `${each.resourceType}/${each.id}`, text: when(each) }));
    await show(session.client, { title: t("notes.search", { count: items.length }), items: items.length === 1 ? [...items, ...items] : items });
  } catch (error) {
    state.failed = problemOf(error).detail;
    draw();
  }
}

function when(resource: Any): string {
  const period = (resource["effectivePeriod"] ?? resource["period"]) as { start?: string } | undefined;
  const moment = period?.start ?? resource["effectiveDateTime"] ?? resource["authored"];
  return typeof moment === "string" ? day(moment) : `${resource.resourceType}/${resource.id}`;
}

void start();
