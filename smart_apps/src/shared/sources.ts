/** The panel that opens what a number rests on: the resource, what it was derived from, who made it (Provenance), all of it as JSON. */
import type Client from "fhirclient/lib/Client";
import type { Provenance } from "fhir/r4";
import { html, nothing, render, type TemplateResult } from "lit";

import { type Any, allowed, get, local } from "./fhir";
import { day, number, t } from "./language";
import { problemOf } from "./problems";

export interface Source {
  title: string;
  /** What stands above the list instead of the sentence about days. */
  lead?: string;
  /** `Type/id` of each resource, with a line about it. */
  items: { reference: string; text: string }[];
}

interface Opened {
  reference: string;
  resource: Any;
  provenance: Provenance[] | null;
}

const dialog = document.createElement("dialog");
dialog.setAttribute("aria-labelledby", "sources-title");
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});
document.body.append(dialog);

let trail: Opened[] = [];

/** Opens the panel: a list of resources, or the only one at once. */
export async function show(client: Client, source: Source): Promise<void> {
  trail = [];
  draw(client, source, html`<p class="soft">${t("loading")}</p>`);
  if (!dialog.open) dialog.showModal();
  const only = source.items.length === 1 ? source.items[0] : undefined;
  if (only) await follow(client, source, only.reference);
  else draw(client, source, list(client, source));
}

function list(client: Client, source: Source): TemplateResult {
  return html`<p class="soft">${source.lead ?? t("sources.days")}</p>
    <ul class="sources">
      ${source.items.map(
        (item) =>
          html`<li><button class="link" @click=${() => follow(client, source, item.reference)}>${item.text}</button></li>`,
      )}
    </ul>`;
}

async function follow(client: Client, source: Source, reference: string): Promise<void> {
  draw(client, source, html`<p class="soft">${t("loading")}</p>`);
  try {
    const [resource, provenance] = await Promise.all([
      get<Any>(client, reference),
      reference.startsWith("Provenance/") ? null : allowed<Provenance>(client, `Provenance?target=${reference}`),
    ]);
    trail = [...trail, { reference, resource, provenance }];
    draw(client, source, one(client, source, { reference, resource, provenance }));
  } catch (error) {
    draw(client, source, html`<p class="bad">${t("sources.failed", { text: problemOf(error).detail })}</p>`);
  }
}

function back(client: Client, source: Source): void {
  trail = trail.slice(0, -1);
  const last = trail.at(-1);
  draw(client, source, last ? one(client, source, last) : list(client, source));
}

function one(client: Client, source: Source, opened: Opened): TemplateResult {
  const { resource, provenance } = opened;
  const values = components(resource);
  const derived = references(resource["derivedFrom"] ?? resource["basis"] ?? resource["implicated"] ?? resource["entity"]);
  return html`
    <h3>${opened.reference.split("/")[0]}</h3>
    ${table(facts(resource))}
    ${derived.length ? html`<h3>${t("sources.derived")}</h3>${links(client, source, derived)}` : nothing}
    ${provenance === null
      ? nothing
      : html`<h3>${t("sources.provenance")}</h3>
          ${provenance.length
            ? links(client, source, provenance.map((each) => [`Provenance/${each.id ?? ""}`, who(each)] as const))
            : html`<p class="soft">${t("sources.provenance.none")}</p>`}`}
    ${values.length ? html`<h3>${t("sources.values")}</h3>${table(values)}` : nothing}
    <details><summary>${t("sources.json")}</summary><pre tabindex="0">${JSON.stringify(resource, null, 2)}</pre></details>`;
}

function table(rows: [string, string][]): TemplateResult {
  return html`<dl class="facts">${rows.map(([name, value]) => html`<dt>${name}</dt><dd>${value}</dd>`)}</dl>`;
}

function links(client: Client, source: Source, items: readonly (readonly [string, string])[]): TemplateResult {
  return html`<ul class="sources">
    ${items.slice(0, 60).map(([reference, text]) =>
      local(reference)
        ? html`<li><button class="link" @click=${() => follow(client, source, reference)}>${text}</button></li>`
        : html`<li>${text}</li>`,
    )}
  </ul>`;
}

function who(provenance: Provenance): string {
  const agent = provenance.agent[0]?.who;
  return `${agent?.display ?? agent?.reference ?? "?"} · ${day(provenance.recorded)}`;
}

interface Pointer {
  reference?: string;
  display?: string;
  identifier?: { value?: string };
  what?: Pointer;
}

function references(given: unknown): (readonly [string, string])[] {
  const list_ = Array.isArray(given) ? (given as Pointer[]) : [];
  return list_.map((each) => {
    const pointer = each.what ?? each;
    const text = pointer.display ?? pointer.reference ?? pointer.identifier?.value ?? "?";
    return [pointer.reference ?? "", text] as const;
  });
}

/** The lines of a resource that a reader looks for first. */
function facts(resource: Any): [string, string][] {
  const found: [string, string][] = [];
  const put = (name: string, value: unknown): void => {
    const text = plain(value);
    if (text) found.push([name, text]);
  };
  for (const name of ["title", "detail", "severity", "description", "purpose", "usage", "status", "code", "type", "class", "medicationCodeableConcept", "method", "effectiveDateTime"]) put(name, resource[name]);
  for (const name of ["effectivePeriod", "occurrencePeriod", "occurredPeriod", "identifiedPeriod", "period", "recorded", "issued"]) put(name, resource[name]);
  for (const name of ["valueQuantity", "valueInteger", "valueSampledData", "device", "performer", "deviceName", "version"]) put(name, resource[name]);
  for (const each of (resource["prediction"] as Record<string, unknown>[] | undefined) ?? []) {
    put("prediction", each["qualitativeRisk"] ?? each["outcome"]);
    put("rationale", each["rationale"]);
  }
  for (const each of (resource["agent"] as Record<string, unknown>[] | undefined) ?? []) put("agent", each["who"]);
  for (const each of (resource["note"] as { text: string }[] | undefined) ?? []) put("note", each.text);
  return found;
}

/** The values of its components, each with its name; how far they are from the own baseline stands in the JSON. */
function components(resource: Any): [string, string][] {
  return ((resource["component"] as Record<string, unknown>[] | undefined) ?? [])
    .map((each): [string, string] => [plain(each["code"]), plain(each["valueQuantity"] ?? each["valueInteger"] ?? each["dataAbsentReason"])])
    .filter(([name, value]) => value && !/-deviation$/.test(name));
}

interface Loose {
  text?: string;
  coding?: { code?: string; display?: string }[];
  value?: number | string;
  unit?: string;
  code?: string;
  display?: string;
  start?: string;
  end?: string;
  reference?: string;
  name?: string;
  period?: number;
}

function plain(given: unknown): string {
  if (given === undefined || given === null) return "";
  if (Array.isArray(given)) return given.map(plain).filter(Boolean).join(", ");
  if (typeof given === "number") return number(given, Number.isInteger(given) ? 0 : 2);
  if (typeof given !== "object") return String(given);
  const it = given as Loose;
  if (it.coding) return it.text ?? it.coding.map((coding) => coding.display ?? coding.code ?? "").filter(Boolean).join(", ");
  if (typeof it.value === "number") return `${plain(it.value)} ${it.unit ?? (it.code === "1" ? "" : (it.code ?? ""))}`.trim();
  if (it.start) return `${it.start.slice(0, 16).replace("T", " ")} – ${(it.end ?? "").slice(0, 16).replace("T", " ")}`;
  return it.display ?? it.reference ?? it.text ?? it.name ?? it.value ?? it.code ?? "";
}

function draw(client: Client, source: Source, inside: TemplateResult): void {
  const several = trail.length > 1 || (trail.length === 1 && source.items.length > 1);
  render(
    html`<div class="row sources-head">
        <h2 id="sources-title">${t("sources")}: ${source.title}</h2>
        ${several ? html`<button @click=${() => back(client, source)}>${t("sources.back")}</button>` : nothing}
        <button @click=${() => dialog.close()}>${t("close")}</button>
      </div>
      ${inside}`,
    dialog,
  );
}
