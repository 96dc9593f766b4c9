/** From the way a page was opened to a client with a patient: EHR launch, the way back from the sign-in, a reload, or a start here. */
import FHIR from "fhirclient";
import type Client from "fhirclient/lib/Client";

import { Problem, problemOf } from "./problems";
import { tell } from "./trace";

export interface App {
  clientId: string;
  scope: string;
  /** Scopes without which there is nothing to show. */
  needs: string[];
  /** False for an app that is about nobody in particular. */
  patient?: false;
}

export interface Session {
  client: Client;
  patient: string;
  encounter: string | null;
  granted: Set<string>;
  banner: boolean;
}

const KEPT = "clarity-launched";

interface Launched {
  iss: string;
  launch: string | null;
}

/** Where an app that nobody launched asks: this server. */
export const HERE = `${location.origin}/fhir`;

function inFrame(): boolean {
  return window.self !== window.top;
}

/** The page itself, which is the redirect URI as well. */
function here(): string {
  return location.origin + location.pathname;
}

function launchedBefore(): Launched | null {
  const text = sessionStorage.getItem(KEPT);
  return text ? (JSON.parse(text) as Launched) : null;
}

/** Opens the session that the address stands for; a Problem says why there is none. */
export async function open(app: App): Promise<Session> {
  const asked = new URL(location.href).searchParams;
  const back = ["code", "error", "state"].some((name) => asked.has(name));
  const iss = asked.get("iss");
  if (iss && !back) { // the way back carries an `iss` as well (RFC 9207): it names who answered
    if (new URL(iss).origin !== location.origin) throw new Problem("denied", `${iss} is not the server of this app.`);
    sessionStorage.setItem(KEPT, JSON.stringify({ iss, launch: asked.get("launch") } satisfies Launched));
    if (inFrame()) {
      if (window.name.endsWith(WINDOW)) await authorize(app, iss, asked.get("launch")); // the EHR has opened it for the sign-in
      throw new Problem("frame");
    }
    await authorize(app, iss, asked.get("launch"));
    return new Promise(() => undefined); // the browser is leaving
  }
  if (back && window.name === POPUP && window.opener) {
    (window.opener as Window).postMessage({ type: "completeAuth", url: location.href }, location.origin);
    window.close();
    return new Promise(() => undefined);
  }
  if (back) answered(asked);
  if (!back && !sessionStorage.getItem("SMART_KEY")) throw new Problem("no-launch");
  return ready(app);
}

/**
 * Reads an answer of the server before the library does: a refusal ends here, and the `iss` of an answer (RFC 9207), which has to
 * be this server, is taken out of the address, for the library would take it for the FHIR server of a launch.
 */
function answered(said: URLSearchParams): void {
  const issuer = said.get("iss");
  const text = [said.get("error"), said.get("error_description")].filter(Boolean).join(": ");
  const kept = new URL(location.href);
  kept.searchParams.delete("iss");
  history.replaceState(null, "", text ? here() : kept.href);
  if (text) throw new Problem("denied", text);
  if (issuer && new URL(issuer).origin !== location.origin) throw new Problem("denied", `${issuer} is not the server of this app.`);
}

async function ready(app: App): Promise<Session> {
  let client: Client;
  try {
    client = await FHIR.oauth2.ready();
  } catch (error) {
    throw problemOf(error);
  }
  history.replaceState(null, "", here()); // a reload begins with the session, not with what the answer carried
  const said = client.state.tokenResponse;
  const granted = new Set((said?.scope ?? "").split(" "));
  const lost = app.needs.filter((scope) => !covers(granted, scope));
  if (lost.length) throw new Problem("scope", lost.join(", "));
  const patient = client.patient.id ?? "";
  if (!patient && app.patient !== false) throw new Problem("patient");
  return {
    client,
    patient,
    encounter: client.encounter.id,
    granted,
    banner: (said as { need_patient_banner?: boolean } | undefined)?.need_patient_banner !== false,
  };
}

/** Whether a granted list lets the app read and search a type of the patient. */
export function covers(granted: Set<string>, scope: string): boolean {
  const type = scope.slice(scope.indexOf("/") + 1, scope.lastIndexOf("."));
  return [...granted].some((each) => {
    const found = /^(?:patient|user)\/(\*|[A-Za-z]+)\.(cruds|[cruds]+|read|\*)/.exec(each);
    const letters = found?.[2] ?? "";
    return !!found && (found[1] === "*" || found[1] === type) && (letters === "read" || letters === "*" || /r.*s/.test(letters));
  });
}

/** Begins the sign-in; inside a frame it gets a window of its own, for no page that asks for a password may be framed. */
export async function authorize(app: App, iss: string, launch: string | null, prompt?: "login"): Promise<void> {
  const scope = launch ? app.scope.replace("launch/patient ", "") : app.scope.replace("launch ", "");
  const framed = inFrame();
  const made = await FHIR.oauth2.authorize({
    clientId: app.clientId,
    scope,
    iss,
    redirectUri: here(),
    pkceMode: "required",
    completeInTarget: true, // the window of a frame is handled below
    noRedirect: true,
    ...(launch ? { launch } : {}),
  });
  if (typeof made !== "string") throw new Problem("network", "no address to sign in at");
  const url = prompt ? `${made}&prompt=${prompt}` : made;
  if (framed) popup(url);
  tell({ kind: "redirect", url });
  if (!framed) location.assign(url);
}

/** The window of a sign-in, and how the frame is called for which an EHR has opened it: a browser lets a click open one, nothing else. */
export const POPUP = "clarity-sign-in";
export const WINDOW = "-with-window";

/** Opens the sign-in in a window, which starts with a copy of this frame's session storage and hands its answer back. */
function popup(url: string): void {
  const opened = window.open(url, POPUP, "width=560,height=760");
  if (!opened) throw new Problem("frame", "The browser did not let the window open.");
  addEventListener("message", (event: MessageEvent<{ type?: string; url?: string }>) => {
    if (event.origin === location.origin && event.data.type === "completeAuth" && event.data.url) location.href = event.data.url;
  });
}

/** Launches again as it was launched; a launch of an EHR holds once, so that then a patient is chosen anew. `login` asks who it is. */
export async function again(app: App, prompt?: "login"): Promise<void> {
  const before = launchedBefore();
  const framed = inFrame();
  sessionStorage.removeItem("SMART_KEY");
  history.replaceState(null, "", here());
  const iss = before?.iss ?? HERE;
  sessionStorage.setItem(KEPT, JSON.stringify({ iss, launch: null } satisfies Launched));
  await authorize(app, iss, framed ? (before?.launch ?? null) : null, prompt);
}
