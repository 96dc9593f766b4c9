/** The twin in plain words for the person whom it is about, and the devices and consents that feed it. */
import { html, nothing, render, type TemplateResult } from "lit";

import { bar, problemPage } from "../shared/bar";
import { day, named, t } from "../shared/language";
import { called } from "../shared/launch";
import { Problem, problemOf } from "../shared/problems";
import { type App, type Session, again, open } from "../shared/session";
import { show } from "../shared/sources";
import "../shared/theme";
import type { Change } from "../twin/change";
import { between } from "../twin/data";
import { type Agreed, type Measuring, type Mine, type Rule, BEFORE, NOW, read } from "./data";
import "./mine.css";
import { picture } from "./picture";
import { absent, heading, lately, sure, told, verdict } from "./words";

const TYPES = ["Patient", "Observation", "Consent", "Provenance"];
const APP: App = {
  clientId: "clarity-mine",
  // Device is not in the patient compartment of R4: a person reaches their own through user/
  scope: `launch launch/patient openid fhirUser online_access ${TYPES.map((type) => `patient/${type}.rs`).join(" ")} user/Device.rs`,
  needs: ["patient/Patient.rs", "patient/Observation.rs"],
};
/** Days without a measurement after which a device is asked after. */
const OLD = 3;

const root = document.querySelector<HTMLElement>("#app")!;
const today = new Intl.DateTimeFormat("en-CA").format(new Date());

async function start(): Promise<void> {
  document.title = `Clarity · ${t("app.mine")}`;
  render(html`${bar(t("app.mine"))}<main class="loading" aria-busy="true"><p class="soft">${t("loading")}</p></main>`, root);
  try {
    const session = await open(APP);
    draw(session, await read(session.client, session.patient, today));
    root.dataset["ready"] = "yes";
  } catch (error) {
    stop(problemOf(error));
  }
}

function stop(problem: Problem): void {
  const act = problem.kind === "network" ? () => location.reload() : () => void again(APP).catch((error) => stop(problemOf(error)));
  const page =
    problem.kind === "no-launch"
      ? html`<main class="card problem" data-problem="no-launch"><h1>${t("mine.hello")}</h1><p>${t("mine.hello.why")}</p><p>${t("mine.hello.do")}</p>
          <div class="row"><button class="go" id="again" @click=${act}>${t("sign-in-window")}</button></div></main>`
      : problemPage(problem, t(problem.kind === "network" ? "try-again" : problem.kind === "frame" ? "sign-in-window" : "launch-again"), act);
  render(html`${bar(t("app.mine"))}${page}`, root);
}

function draw(session: Session, mine: Mine): void {
  render(
    html`${bar(t("app.mine"), html`<button class="quiet-button" id="print" @click=${() => window.print()}>${t("print")}</button>`)}
      <main class="mine">
        ${session.banner ? html`<p class="whose"><strong>${called(mine.patient.name)}</strong></p>` : nothing}
        <h1>${t("mine.title", { days: NOW })}</h1>
        <p class="soft">${t("mine.period", { from: day(mine.first, "long"), to: day(mine.last, "long"), days: BEFORE })}</p>
        ${mine.changes.length ? words(session, mine) : none()}
        <section class="card" id="devices" aria-labelledby="devices-title"><h2 id="devices-title">${t("mine.devices")}</h2>${devices(session, mine.devices)}</section>
        <section class="card" id="consents" aria-labelledby="consents-title"><h2 id="consents-title">${t("mine.consents")}</h2>${consents(session, mine.consents)}
          <p><a href="/oauth2/apps" target="_blank" rel="noopener">${t("mine.apps")}</a></p></section>
        <p class="soft foot">${t("mine.foot")}</p>
      </main>`,
    root,
  );
}

function none(): TemplateResult {
  return html`<section class="card" id="none"><h2>${t("mine.none")}</h2><p>${t("mine.none.why")}</p><p>${t("mine.none.do")}</p></section>`;
}

// ---- sleep and activity ----

function words(session: Session, mine: Mine): TemplateResult {
  return html`<div class="cards">${mine.changes.map((each) => card(session, each, mine))}</div>
    <section class="card read"><h2>${t("mine.read")}</h2><p>${t("mine.read.text")}</p><p>${t("mine.picture.band")}</p></section>`;
}

function card(session: Session, each: Change, mine: Mine): TemplateResult {
  const source = {
    title: heading(each),
    items: each.used.map((one) => ({ reference: one.reference, text: `${day(one.date, "long")}: ${told(each.feature, one.values.get(each.feature.code)?.value ?? 0)}` })),
  };
  return html`<section class="card" data-feature=${each.feature.code} data-weight=${each.weight} aria-label=${heading(each)}>
    <h2>${heading(each)}</h2>
    <p class="lately">${lately(each)}</p>
    <p class="verdict">${verdict(each)}</p>
    ${picture(each, mine.days)}
    <p><strong>${t("mine.sure")}:</strong> ${sure(each)}</p>
    <p class="soft">${t("mine.measured", { measured: each.measured, days: each.days })} ${each.missing.size ? html`${t("mine.missing")}: ${absent(each)}.` : nothing}</p>
    ${source.items.length ? html`<button class="link" @click=${() => void show(session.client, source)}>${t("mine.rests")}</button>` : nothing}
  </section>`;
}

// ---- what feeds it ----

function withheld(type: string): TemplateResult {
  return html`<p class="alarm">${t("mine.withheld", { what: type })}</p>`;
}

function opener(session: Session, name: string, reference: string): TemplateResult {
  const open_ = (): void => void show(session.client, { title: name, items: [{ reference, text: "" }] });
  return html`<button class="link" aria-label=${`${t("mine.consent.open")}: ${name}`} @click=${open_}>${t("mine.consent.open")}</button>`;
}

function devices(session: Session, found: Measuring[] | null): TemplateResult {
  if (found === null) return withheld("Device");
  if (!found.length) return html`<p>${t("mine.devices.none")}</p>`;
  return html`<ul class="feeds">${found.map((each) => html`<li>
    <strong>${each.name}</strong> ${each.kind && each.kind !== each.name ? html`<span class="soft">${each.kind}</span>` : nothing}
    <p class="soft">${named("mine.device", each.status, each.status)}, ${newest(each)} ${opener(session, each.name, each.reference)}</p>
  </li>`)}</ul>`;
}

function newest(device: Measuring): string {
  if (!device.newest) return t("mine.devices.silent");
  const old = device.status === "active" && between(device.newest, today) > OLD;
  return t(old ? "mine.devices.old" : "mine.devices.newest", { date: day(device.newest) });
}

function consents(session: Session, found: Agreed[] | null): TemplateResult {
  if (found === null) return withheld("Consent");
  if (!found.length) return html`<p>${t("mine.consents.none")}</p>`;
  return html`<ul class="feeds">${found.map((each) => consent(session, each))}</ul>`;
}

function consent(session: Session, each: Agreed): TemplateResult {
  const what = t(`mine.consent.${each.kind}`, { what: things(each) });
  const signed = each.signed ? [t("mine.consent.signed", { date: day(each.signed) })] : [];
  return html`<li data-kind=${each.kind}><strong>${what}</strong> ${each.active ? nothing : html`<span class="alarm">${t("mine.consent.over")}</span>`}
    <p class="soft">${[...facts(each), ...signed].join("; ")} ${opener(session, what, each.reference)}</p>${exceptions(each)}</li>`;
}

function things(rule: Rule): string {
  return rule.what.join(", ") || t("mine.consent.any");
}

function facts(rule: Rule): string[] {
  return [
    rule.why.length ? t("mine.consent.why", { why: rule.why.join(", ") }) : "",
    rule.who.length ? t("mine.consent.who", { who: rule.who.join(", ") }) : "",
    rule.from ? t("mine.consent.from", { date: day(rule.from) }) : "",
    rule.until ? t("mine.consent.until", { date: day(rule.until) }) : "",
  ].filter(Boolean);
}

/** What is otherwise than the rule says, and what of that is otherwise again. */
function exceptions(rule: Rule): unknown {
  if (!rule.exceptions.length) return nothing;
  return html`<ul class="exceptions">${rule.exceptions.map((each) => html`<li data-kind=${each.kind}>${t(`mine.except.${each.kind}`, { what: things(each) })}
    ${facts(each).length ? html`<span class="soft">(${facts(each).join("; ")})</span>` : nothing}${exceptions(each)}</li>`)}</ul>`;
}

void start();
