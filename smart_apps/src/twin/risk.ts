/**
 * What models say of the patient, and which alerts are open: the newest answer of each method with horizon, interval, what moved it
 * and the comparator beside it, or why it says nothing. Nothing is computed here.
 */
import type Client from "fhirclient/lib/Client";
import type { Bundle, DetectedIssue, Device, Extension, FhirResource, Library, RiskAssessment } from "fhir/r4";
import { html, nothing, type TemplateResult } from "lit";

import { allowed, get } from "../shared/fhir";
import { day, locale, named, number, t } from "../shared/language";
import { problemOf } from "../shared/problems";
import type { Source } from "../shared/sources";
import { type Criterion, criterion } from "./criteria";
import { TWIN, USES, between, predicted } from "./data";
import { BY_CODE, said } from "./features";

const OPEN = ["preliminary", "registered", "final", "amended"];
const DISMISSED = ["cancelled", "entered-in-error"];
const SEVERITIES = ["high", "moderate", "low"];
/** Inputs that are listed at once; the rest unfolds. */
const FIRST = 3;
/** Days after which the data of an answer are called old; up to yesterday's they are what is to be expected, and nothing is said. */
const OLD = 3;
const FRESH = 1;

interface Input {
  name: string;
  value: number | null;
  adds: number;
}

export interface Said {
  reference: string;
  method: string;
  title: string;
  /** Last day of the data. */
  date: string;
  days: number;
  until: string;
  outcome: string;
  /** In percent. */
  probability: number | null;
  value: number | null;
  low: number | null;
  high: number | null;
  unit: string;
  comparator: { name: string; answer: number } | null;
  inputs: Input[];
  /** Why nothing is said; "" where something is. */
  silent: string;
  reason: string;
  device: string;
  /** Whether the reader may open the Device: software that names no patient is not in their reach with every server. */
  opens: boolean;
  card: string;
}

export interface Alert {
  reference: string;
  reason: string;
  reasonText: string;
  title: string;
  severity: string;
  since: string;
  seen: boolean;
  criteria: Criterion[];
  sources: string[];
}

export interface Panel {
  answers: Said[];
  alerts: Alert[];
  withheld: string[];
}

// ---- reading ----

/** Reads what the panel shows; a type that was not allowed is named in `withheld`. */
export async function panel(client: Client, patient: string): Promise<Panel> {
  const withheld = new Set<string>();
  const some = async <T extends FhirResource>(type: string, asked: Promise<T[] | null>): Promise<T[]> => {
    const found = await asked;
    if (found === null) withheld.add(type);
    return found ?? [];
  };
  const [alerts, ...risks] = await Promise.all([
    some("DetectedIssue", allowed<DetectedIssue>(client, `DetectedIssue?patient=${patient}&_count=100`)),
    ...USES.map((use) => some("RiskAssessment", newest(client, patient, use))),
  ]);
  const names = (found: (string | undefined)[]): string => [...new Set(found.filter(Boolean))].join(",");
  const ids = (references: string[], type: string): string => names(references.map((each) => (each.startsWith(`${type}/`) ? each.slice(type.length + 1) : "")));
  const answers = newestByMethod(risks.flat()).map(answerOf).sort(byWeight);
  const devices = ids(answers.map((each) => each.device), "Device");
  const [software, cards] = await Promise.all([
    devices ? some("Device", allowed<Device>(client, `Device?_id=${devices}`)) : [],
    some("Library", allowed<Library>(client, `Library?_id=${ids(answers.map((each) => each.card), "Library") || "none"}&_elements=title`)),
  ]);
  const there = new Set([...software, ...cards].map((each) => `${each.resourceType}/${each.id ?? ""}`));
  for (const each of answers) [each.opens, each.card] = [there.has(each.device), there.has(each.card) ? each.card : ""];
  return { answers, alerts: alerts.map(alertOf).filter((each) => each !== null).sort(bySeverity), withheld: [...withheld] };
}

/** The first page of the assessments of a use, newest first: more than the models of one night. Uses are asked one by one, for some answer nightly and others once in weeks. */
async function newest(client: Client, patient: string, use: string): Promise<RiskAssessment[] | null> {
  const method = encodeURIComponent(`${TWIN}|${use}`);
  try {
    const page = await get<Bundle<RiskAssessment>>(client, `RiskAssessment?patient=${patient}&method=${method}&_sort=-date&_count=30&_total=none`);
    return (page.entry ?? []).map((entry) => entry.resource).filter((each): each is RiskAssessment => each?.resourceType === "RiskAssessment");
  } catch (error) {
    const problem = problemOf(error);
    if (problem.kind === "denied") return null;
    throw problem;
  }
}

function newestByMethod(found: RiskAssessment[]): RiskAssessment[] {
  const kept = new Map<string, RiskAssessment>();
  for (const risk of found.filter((each) => predicted(each) && OPEN.includes(each.status))) {
    const before = kept.get(methodOf(risk));
    if (!before || dateOf(risk) > dateOf(before)) kept.set(methodOf(risk), risk);
  }
  return [...kept.values()];
}

function methodOf(risk: RiskAssessment): string {
  return risk.method?.coding?.find((coding) => !USES.includes(coding.code ?? ""))?.code ?? risk.method?.text ?? "";
}

function dateOf(risk: RiskAssessment): string {
  return (risk.occurrencePeriod?.start ?? risk.occurrenceDateTime ?? "").slice(0, 10);
}

function extension(given: { extension?: Extension[] | undefined } | undefined, name: string): Extension[] {
  return (given?.extension ?? []).filter((each) => each.url.endsWith(`/${name}`));
}

function part(given: Extension | undefined, name: string): Extension | undefined {
  return given?.extension?.find((each) => each.url === name);
}

function amount(given: Extension | undefined): number | null {
  return given?.valueDecimal ?? given?.valueQuantity?.value ?? null;
}

function answerOf(risk: RiskAssessment): Said {
  const prediction = risk.prediction?.[0];
  const [interval, compared, value] = ["prediction-interval", "prediction-comparator", "prediction-value"].map((name) => extension(prediction, name)[0]);
  const period = prediction?.whenPeriod;
  const answer = amount(part(compared, "probability")) ?? amount(part(compared, "value"));
  const silent = prediction?.qualitativeRisk?.coding?.some((coding) => coding.code === "no-prediction") ?? false;
  const told = /^No prediction \(([\w-]+)\): (.*)$/s.exec(prediction?.rationale ?? "");
  return {
    reference: `RiskAssessment/${risk.id ?? ""}`,
    method: methodOf(risk),
    title: risk.method?.coding?.[0]?.display ?? risk.method?.text ?? "",
    date: dateOf(risk),
    days: period?.start && period.end ? between(period.start.slice(0, 10), period.end.slice(0, 10)) + 1 : 0,
    until: period?.end?.slice(0, 10) ?? "",
    outcome: prediction?.outcome?.text ?? prediction?.outcome?.coding?.[0]?.display ?? "",
    probability: prediction?.probabilityDecimal ?? null,
    value: amount(part(value, "value")),
    low: amount(part(interval, "low")),
    high: amount(part(interval, "high")),
    unit: part(value, "value")?.valueQuantity?.code ?? "",
    comparator: answer === null ? null : { name: part(compared, "name")?.valueString ?? "", answer },
    inputs: extension(prediction, "prediction-input").map((each) => ({
      name: part(each, "name")?.valueString ?? "?",
      value: amount(part(each, "value")),
      adds: amount(part(each, "adds")) ?? 0,
    })),
    silent: silent ? (told?.[2] ?? prediction?.rationale ?? "") : "",
    reason: silent ? (told?.[1] ?? "") : "",
    device: risk.performer?.reference ?? "",
    opens: false,
    card: cardOf(risk),
  };
}

/** The model card, which an assessment names in a note. */
function cardOf(risk: RiskAssessment): string {
  const found = (risk.note ?? []).map((each) => /Library\/[A-Za-z0-9.-]*[A-Za-z0-9]/.exec(each.text)?.[0]);
  return found.find((each) => each) ?? "";
}

/** Probabilities first, then numbers, then what says nothing. */
function byWeight(one: Said, other: Said): number {
  const rank = (each: Said): number => (each.probability !== null ? 0 : each.value !== null ? 1 : 2);
  return rank(one) - rank(other) || one.method.localeCompare(other.method);
}

/** An alert of our rules that is open; null for others, for one that was held back, is over or dismissed. */
function alertOf(issue: DetectedIssue): Alert | null {
  const told = extension(issue, "alert-evidence")[0];
  const period = issue.identifiedPeriod;
  if (!told || part(told, "held") || !period?.start || period.end || DISMISSED.includes(issue.status)) return null;
  const coding = issue.code?.coding?.[0];
  return {
    reference: `DetectedIssue/${issue.id ?? ""}`,
    reason: coding?.code ?? "",
    reasonText: coding?.display ?? issue.code?.text ?? "",
    title: issue.detail ?? "",
    severity: issue.severity ?? "",
    since: period.start,
    seen: !["registered", "preliminary"].includes(issue.status),
    criteria: (told.extension ?? []).filter((each) => each.url === "criterion").map(criterion),
    sources: (issue.implicated ?? []).map((each) => each.reference ?? "").filter(Boolean),
  };
}

function bySeverity(one: Alert, other: Alert): number {
  const rank = (each: Alert): number => (SEVERITIES.indexOf(each.severity) + SEVERITIES.length + 1) % (SEVERITIES.length + 1);
  return rank(one) - rank(other) || other.since.localeCompare(one.since);
}

// ---- showing ----

type Show = (source: Source) => void;

/** The section of the page. */
export function models(found: Panel, today: string, show: Show): TemplateResult {
  const { answers, alerts, withheld } = found;
  const none = (type: string, sentence: string): unknown => (withheld.includes(type) ? nothing : html`<p class="soft">${sentence}</p>`);
  return html`<section class="card models" id="models" aria-labelledby="alerts-title">
    <h2 id="alerts-title">${t("alert.title")}</h2>
    ${alerts.length ? html`<ul class="alerts">${alerts.map((each) => alert(each, today, show))}</ul>` : none("DetectedIssue", t("alert.none"))}
    <div class="answers"><h2>${t("model.title")}</h2>
    ${answers.length ? html`<p class="soft">${t("model.not-diagnosis")}</p><ul class="cards">${answers.map((each) => answer(each, today, show))}</ul>` : none("RiskAssessment", t("model.none"))}</div>
    ${withheld.length ? html`<p class="alarm" id="models-withheld">${t("problem.partly", { what: withheld.join(", ") })}</p>` : nothing}
  </section>`;
}

function alert(each: Alert, today: string, show: Show): TemplateResult {
  const what = named("alert.reason", each.reason, each.reasonText);
  const date = each.since.slice(0, 10);
  const items = [each.reference, ...each.sources].map((reference) => ({ reference, text: reference }));
  return html`<li class=${`alert ${each.severity}`} data-alert=${each.reference} data-severity=${each.severity}>
    <h3>${what} <span class="tag">${named("alert.severity", each.severity, each.severity)}</span></h3>
    <p>${each.title}</p>
    <p class="soft">${t("alert.since", { date: day(date), ago: ago(between(date, today)) })} · ${t(each.seen ? "alert.seen" : "alert.unseen")}</p>
    ${criteria(each.criteria)}
    <p><button class="link" aria-label=${t("alert.evidence.of", { name: what })} @click=${() => show({ title: what, lead: t("model.opens"), items })}>${t("alert.evidence")}</button></p>
  </li>`;
}

/** What made it an alert; what did not unfolds. */
function criteria(all: Criterion[]): unknown {
  const [held, others] = [all.filter((each) => each.holds), all.filter((each) => !each.holds)];
  const list = (some: Criterion[]): TemplateResult => html`<ul class="plain-list criteria">${some.map((each) => html`<li>${each.text}</li>`)}</ul>`;
  return html`${held.length ? list(held) : nothing}
    ${others.length ? html`<details><summary class="soft">${t("alert.others", { count: others.length })}</summary>${list(others)}</details>` : nothing}`;
}

function answer(each: Said, today: string, show: Show): TemplateResult {
  const name = named("model", each.method, each.title);
  const age = between(each.date, today);
  const made: [string, string][] = [[each.opens ? each.device : "", t("model.device")], [each.card, t("model.card")], [each.reference, t("model.answer")]];
  const items = made.filter(([reference]) => reference).map(([reference, text]) => ({ reference, text: `${text}: ${reference}` }));
  const card = { title: name, lead: "", items: [{ reference: each.card, text: "" }] };
  return html`<li class=${`change ${each.reason || each.silent ? "few" : "steady"}`} data-method=${each.method} data-probability=${each.probability ?? ""}>
    <h3>${name}</h3>
    ${each.silent || each.reason ? silence(each) : answered(each)}
    ${age > FRESH ? html`<p class=${age > OLD ? "alarm" : "soft"}>${t(age > OLD ? "model.old" : "model.data", { date: day(each.date), ago: ago(age) })}</p>` : nothing}
    ${each.device ? html`<p class="soft">${t("model.device")}: ${each.device}</p>` : nothing}
    <p><button class="link" aria-label=${t("model.rests.of", { name })} @click=${() => show({ title: name, lead: t("model.opens"), items })}>${t("model.rests")}</button>
      ${each.card ? html` · <button class="link" aria-label=${t("model.card.of", { name })} @click=${() => show(card)}>${t("model.card")}</button>` : nothing}</p>
  </li>`;
}

function silence(each: Said): TemplateResult {
  return html`<p class="big">${t("model.silent")}</p>
    <p>${named("model.reason", each.reason, each.reason)}: ${each.silent}</p>
    <p class="soft">${t("model.silent.why")}</p>`;
}

function answered(each: Said): TemplateResult {
  const write = (value: number): string => (each.probability !== null ? percent(value) : written(each, value));
  const main = each.probability ?? each.value;
  const when = each.days > 1 ? t("model.within", { days: each.days, date: day(each.until) }) : each.until ? t("model.on", { date: day(each.until) }) : "";
  return html`<p class="big">${main === null ? "–" : write(main)} <span class="by">${when}</span></p>
    ${each.probability === null ? nothing : html`<p>${t("model.of-100", { count: number(each.probability), outcome: each.outcome })}</p>`}
    ${each.low === null || each.high === null ? nothing : html`<p class="soft">${t(each.probability === null ? "model.interval.value" : "model.interval", { low: write(each.low), high: write(each.high) })}</p>`}
    ${each.comparator ? html`<p class="compared">${t("model.beside", { name: named("model.by", each.comparator.name.replaceAll(" ", "-"), each.comparator.name), answer: write(each.comparator.answer) })}</p>` : nothing}
    ${moved(each.inputs)}`;
}

function moved(inputs: Input[]): unknown {
  const line = (each: Input): TemplateResult => html`<li data-input=${each.name}>
    <span aria-hidden="true">${each.adds > 0 ? "▲" : each.adds < 0 ? "▼" : "="}</span> ${t(each.adds > 0 ? "model.raises" : each.adds < 0 ? "model.lowers" : "model.leaves", { name: input(each.name) })}
    ${each.value === null ? html`<span class="soft">(${t("model.unknown")})</span>` : html`<span class="soft">(${number(each.value, 1)})</span>`}
  </li>`;
  if (!inputs.length) return nothing;
  return html`<p class="soft">${t("model.moved")}</p>
    <ul class="plain-list moved">${inputs.slice(0, FIRST).map(line)}</ul>
    ${inputs.length > FIRST ? html`<details><summary class="soft">${t("model.more", { count: inputs.length - FIRST })}</summary><ul class="plain-list moved">${inputs.slice(FIRST).map(line)}</ul></details>` : nothing}`;
}

function ago(days: number): string {
  return new Intl.RelativeTimeFormat(locale, { numeric: "auto" }).format(-Math.max(0, days), "day");
}

/** What an input is called: a feature of the twin against the own baseline, or what the model calls it. */
function input(code: string): string {
  const found = /^(.+?)-(deviation-week|deviation|trend)$/.exec(code);
  const feature = found?.[1]?.replace(/^(phq|gad)-/, "$1") ?? "";
  return found ? t(`model.input.${found[2] as "deviation-week" | "deviation" | "trend"}`, { name: named("feature", feature, feature) }) : named("model.input", code, code);
}

function percent(value: number): string {
  return `${number(value, value < 10 ? 1 : 0)} %`;
}

/** A forecast number as the rest of the page writes its feature. */
function written(each: Said, value: number): string {
  const feature = BY_CODE.get(each.method.replace(/^forecast-/, "").replace(/-reported$/, ""));
  return feature ? said(feature, value) : `${number(value, 1)} ${each.unit}`.trim();
}
