/** Alerts of the user's patients: which are open, what they say in words, the list, and what has just come. */
import type Client from "fhirclient/lib/Client";
import type { Bundle, FhirResource } from "fhir/r4";
import { html, nothing, type TemplateResult } from "lit";

import { get } from "../shared/fhir";
import { locale, named, t, type Word } from "../shared/language";
import { problemOf } from "../shared/problems";
import type { Event_ } from "../shared/trace";
import { Live, type Standing } from "./live";

const CLOSED = ["cancelled", "entered-in-error", "inactive"];
const UNSEEN = ["registered", "preliminary"];
/** So many are read, shown before somebody asks for more, and stand as messages at a time. */
const MOST = 100;
const SHOWN = 3;
const MESSAGES = 3;

export interface Alert {
  reference: string;
  patient: string;
  /** What it is about, in words, and what the rule or the person wrote. */
  what: string;
  text: string;
  severity: string;
  /** When it was raised, ISO. */
  since: string;
  unseen: boolean;
}

/** An alert that is open; null for what was held back, is over or dismissed, and for other resources. */
export function alertOf(resource: FhirResource): Alert | null {
  if (resource.resourceType !== "DetectedIssue" && resource.resourceType !== "Flag") return null;
  const period = resource.resourceType === "Flag" ? resource.period : resource.identifiedPeriod;
  if (CLOSED.includes(resource.status) || period?.end) return null;
  const coding = resource.code?.coding?.[0];
  const about = resource.resourceType === "Flag" ? resource.subject : resource.patient;
  const code = resource.code?.text ?? coding?.display ?? coding?.code ?? "";
  const issue = resource.resourceType === "DetectedIssue" ? resource : null;
  return {
    reference: `${resource.resourceType}/${resource.id ?? ""}`,
    patient: (about?.reference ?? "").split("/").slice(-1)[0] ?? "",
    what: named("alert.reason", coding?.code ?? "", code) || t("live.unnamed"),
    text: issue?.detail ?? "",
    severity: issue?.severity ?? "",
    since: period?.start ?? issue?.identifiedDateTime ?? resource.meta?.lastUpdated ?? "",
    unseen: UNSEEN.includes(resource.status),
  };
}

/** What a page does with alerts. */
export interface Does {
  draw(): void;
  name(patient: string): string;
  tell(step: Omit<Event_, "at">): void;
  resource(alert: Alert): void;
  twin(alert: Alert): void;
  again(): void;
}

export class Alerts {
  private readonly open = new Map<string, Alert>();
  /** All that was ever seen here, open or not: what is among them is not new. */
  private readonly known = new Set<string>();
  private fresh: string[] = [];
  private begun = false;
  private all = false;
  private said = "";
  private standing: { now: Standing; detail: string } = { now: "starting", detail: "" };
  private readonly live: Live;

  constructor(
    private readonly client: Client,
    private readonly does: Does,
  ) {
    this.live = new Live(client, {
      standing: (now, detail) => {
        this.standing = { now, detail };
        this.does.draw();
      },
      bound: () => this.read(),
      changed: (reference) => this.changed(reference),
      tell: (step) => this.does.tell(step),
    });
  }

  start(): void {
    this.live.now();
  }

  private async read(): Promise<void> {
    const pages = await Promise.all([
      get<Bundle>(this.client, `DetectedIssue?_sort=-identified&_count=${MOST}&_total=none`),
      get<Bundle>(this.client, `Flag?_sort=-date&_count=${MOST}&_total=none`),
    ]);
    const found = pages.flatMap((page) => (page.entry ?? []).map((entry) => entry.resource)).filter((each) => each !== undefined);
    this.open.clear();
    for (const resource of found) this.take(resource);
    this.begun = true;
    this.does.draw();
  }

  private async changed(reference: string): Promise<void> {
    try {
      this.take(await get<FhirResource>(this.client, reference), reference);
    } catch (error) {
      if (problemOf(error).kind === "expired") throw error;
      this.forget(reference); // deleted, or hidden by now
    }
    this.does.draw();
  }

  private take(resource: FhirResource, reference = `${resource.resourceType}/${resource.id ?? ""}`): void {
    const alert = alertOf(resource);
    const before = this.known.has(reference);
    this.known.add(reference);
    if (!alert) {
      this.forget(reference);
      return;
    }
    this.open.set(reference, alert);
    if (before || !this.begun) return;
    this.fresh = [reference, ...this.fresh];
    this.said = t("live.said", { severity: severity(alert), what: alert.what, patient: this.does.name(alert.patient) });
  }

  private forget(reference: string): void {
    this.open.delete(reference);
    this.fresh = this.fresh.filter((each) => each !== reference);
  }

  private dismiss(reference: string): void {
    this.fresh = this.fresh.filter((each) => each !== reference);
    this.does.draw();
    const next = document.querySelector<HTMLElement>(".message .dismiss") ?? document.querySelector<HTMLElement>("#alerts h2");
    next?.focus();
  }

  // ---- what is shown ----

  /** What has just come, above everything, until somebody dismisses it; read out when the reader is idle. */
  messages(): TemplateResult {
    const shown = this.fresh.map((each) => this.open.get(each)).filter((each) => each !== undefined);
    const more = shown.length - MESSAGES;
    return html`<p class="hidden" role="status" id="said">${this.said}</p>
      <div class="messages" role="region" aria-label=${t("live.messages")} @keydown=${(event: KeyboardEvent) => event.key === "Escape" && shown[0] && this.dismiss(shown[0].reference)}>
        ${shown.slice(0, MESSAGES).map((each) => this.message(each))}
        ${more > 0 ? html`<p class="card soft">${t("live.more", { count: more })}</p>` : nothing}
      </div>`;
  }

  private message(alert: Alert): TemplateResult {
    return html`<section class=${`card message ${alert.severity}`} data-message=${alert.reference}>
      <h2>${t("live.new")}: ${alert.what} ${tag(alert)}</h2>
      <p><strong>${this.does.name(alert.patient)}</strong> · ${moment(alert.since)}</p>
      ${alert.text ? html`<p>${alert.text}</p>` : nothing}
      <div class="row">${this.actions(alert)}<button class="dismiss" @click=${() => this.dismiss(alert.reference)}>${t("live.dismiss")}</button></div>
    </section>`;
  }

  private actions(alert: Alert): TemplateResult {
    const of = { what: alert.what, patient: this.does.name(alert.patient) };
    return html`<button aria-label=${t("live.resource.of", of)} @click=${() => this.does.resource(alert)}>${t("live.resource")}</button>
      <button aria-label=${t("live.twin.of", of)} @click=${() => this.does.twin(alert)}>${t("live.twin")}</button>`;
  }

  list(): TemplateResult {
    const { now, detail } = this.standing;
    const found = [...this.open.values()].sort((one, other) => Date.parse(other.since) - Date.parse(one.since));
    const shown = this.all ? found : found.slice(0, SHOWN);
    return html`<section class="card" id="alerts" aria-labelledby="alerts-title" data-standing=${now}>
      <div class="row head"><h2 id="alerts-title" tabindex="-1">${t("live.title")} ${this.begun ? `(${found.length})` : ""}</h2>
        <p class=${`standing ${now}`}>${t(`live.standing.${now}` as Word, { detail, reason: detail })}
          ${now === "waiting" ? html`<button class="link" @click=${() => this.live.now()}>${t("live.now")}</button>` : nothing}
          ${now === "ended" ? html`<button class="link" @click=${() => this.does.again()}>${t("launch-again")}</button>` : nothing}</p></div>
      ${found.length ? html`<ul class="plain">${shown.map((each) => this.row(each))}</ul>` : this.begun ? html`<p class="soft">${t("live.none")}</p>` : nothing}
      ${found.length > SHOWN ? html`<button class="link" aria-expanded=${String(this.all)} @click=${() => ((this.all = !this.all), this.does.draw())}>${t(this.all ? "live.fewer" : "live.all", { count: found.length })}</button>` : nothing}
    </section>`;
  }

  private row(alert: Alert): TemplateResult {
    return html`<li class=${`alert ${alert.severity}`} data-alert=${alert.reference} data-severity=${alert.severity}>
      <div><h3>${alert.what} ${tag(alert)}</h3>
        <p>${this.does.name(alert.patient)} · ${moment(alert.since)} · <span class="soft">${t(alert.unseen ? "alert.unseen" : "alert.seen")}</span></p>
        ${alert.text ? html`<p class="soft">${alert.text}</p>` : nothing}</div>
      <div class="row">${this.actions(alert)}</div>
    </li>`;
  }
}

function severity(alert: Alert): string {
  return named("alert.severity", alert.severity, alert.severity) || t("live.severity.none");
}

function tag(alert: Alert): TemplateResult {
  return html`<span class="tag">${severity(alert)}</span>`;
}

function moment(iso: string): string {
  const at = Date.parse(iso);
  return Number.isNaN(at) ? "" : new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }).format(at);
}
