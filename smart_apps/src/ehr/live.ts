/**
 * Told live: a Subscription to the topic of alerts (R5 Subscriptions Backport 1.1), one for each person, bound to a websocket; bound
 * anew with back-off whenever that breaks off. What was missed meanwhile is found by reading the list again at every binding.
 */
import type Client from "fhirclient/lib/Client";
import type { Bundle, Parameters, Subscription } from "fhir/r4";

import { Problem, problemOf } from "../shared/problems";
import { HERE } from "../shared/session";
import type { Event_ } from "../shared/trace";

const BACKPORT = "http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-";
const BASE = "https://fhir.clarity.example";
const TOPIC = `${BASE}/SubscriptionTopic/alert`;
/** By which the Subscription is found again. */
const REASON = "Alerts of the EHR simulator";
/** Seconds: how often the server says that it is there, and after how long a silence it is not believed any more. */
const HEARTBEAT = 30;
const SILENCE = 75;
/** Seconds that a Subscription holds without this page, and how many have to be left. */
const HOLDS = 12 * 3600;
const LEFT = 3600;
/** Milliseconds between tries. */
const FIRST = 1000;
const LONGEST = 60_000;
/** Milliseconds between two readings where nothing is told live. */
const ASKS = 60_000;

export type Standing = "starting" | "live" | "waiting" | "refused" | "ended";

export interface Hears {
  /** Whether alerts come live; `detail` is the reason, or the seconds until the next try. */
  standing(now: Standing, detail: string): void;
  /** From here on everything is told: what there is has to be read. */
  bound(): Promise<void>;
  /** A resource, `Type/id`, was written or deleted. */
  changed(reference: string): Promise<void>;
  /** A step, for the panel; those that are taken again and again are told once. */
  tell(step: Omit<Event_, "at">): void;
}

export class Live {
  private socket: WebSocket | null = null;
  private timer = 0;
  private silence = 0;
  private tries = 0;
  private over = false;
  private last = 0;
  private told = false;

  constructor(
    private readonly client: Client,
    private readonly hears: Hears,
  ) {
    addEventListener("online", () => this.now());
  }

  /** Connects at once instead of at the next try. */
  now(): void {
    clearTimeout(this.timer);
    if (this.over || this.socket) return;
    void this.connect();
  }

  private async connect(): Promise<void> {
    this.hears.standing("starting", "");
    try {
      const id = await this.subscribed();
      const token = await this.ask<Parameters>("GET", `Subscription/${id}/$get-ws-binding-token`);
      const given = new Map((token.parameter ?? []).map((each) => [each.name, each.valueString ?? each.valueUrl ?? ""]));
      this.bind(given.get("websocket-url") ?? "", given.get("token") ?? "");
    } catch (error) {
      this.failed(error);
    }
  }

  /** What could not be asked for or read: no right, no session, or a server that is away. */
  private failed(error: unknown): void {
    const problem = problemOf(error);
    this.drop();
    if (problem.kind === "denied") this.poll(problem.detail);
    else if (problem.kind === "expired") this.end(problem.detail);
    else this.later();
  }

  /** Leaves the socket without trying again. */
  private drop(): void {
    const socket = this.socket;
    this.socket = null;
    clearTimeout(this.silence);
    socket?.close();
  }

  /** The id of this person's Subscription, made or renewed where that is needed, and served by now. */
  private async subscribed(): Promise<string> {
    const user = (this.client.user.fhirUser ?? "").split("/").slice(-2).join("/");
    if (!user) throw new Problem("denied", "no fhirUser");
    const page = await this.ask<Bundle<Subscription>>("GET", `Subscription?criteria=${encodeURIComponent(TOPIC)}&_sort=-_lastUpdated&_count=20`);
    const mine = (page.entry ?? []).map((entry) => entry.resource).find((each) => each?.reason === REASON);
    if (mine?.id && mine.status === "active" && Date.parse(mine.end ?? "") > Date.now() + LEFT * 1000) return mine.id;
    // over the one that has run out, where there is one
    const body = JSON.stringify({ ...wanted(user), ...(mine?.id ? { id: mine.id } : {}) });
    const made = await this.ask<Subscription>(mine?.id ? "PUT" : "POST", mine?.id ? `Subscription/${mine.id}` : "Subscription", body);
    return this.served(made.id ?? "");
  }

  private async ask<T>(method: string, url: string, sent = ""): Promise<T> {
    const headers = { "Content-Type": "application/fhir+json" };
    const answer = await this.client.request<T>(sent ? { url, method, body: sent, headers } : url);
    if (!this.told) this.hears.tell({ kind: "request", method, url: `${HERE}/${url}`, sent, received: JSON.stringify(answer) });
    return answer;
  }

  private async served(id: string): Promise<string> {
    for (let pause = 100; pause < 8000; pause *= 1.5) {
      const now = await this.client.request<Subscription>(`Subscription/${id}`);
      if (now.status === "active") return id;
      if (now.status === "error") throw new Problem("denied", now.error ?? "error");
      await new Promise((done) => setTimeout(done, pause));
    }
    throw new Problem("network", "no worker has looked at the Subscription");
  }

  private bind(url: string, token: string): void {
    const socket = new WebSocket(url);
    this.socket = socket;
    this.listen();
    socket.onopen = () => socket.send(`bind-with-token ${token}`);
    socket.onmessage = (event: MessageEvent<string>) => void this.hear(url, event.data).catch((error: unknown) => this.failed(error));
    socket.onclose = (event) => {
      clearTimeout(this.silence);
      if (this.socket !== socket) return;
      this.socket = null;
      if (event.code === 1000) this.now(); // its time was over, as for every socket of a person
      else this.later();
    };
  }

  /** Gives a socket up that says nothing any more: a network that is gone closes none. */
  private listen(): void {
    clearTimeout(this.silence);
    this.silence = window.setTimeout(() => {
      this.drop();
      this.later();
    }, SILENCE * 1000);
  }

  private async hear(url: string, text: string): Promise<void> {
    this.listen();
    const { kind, events } = read(text);
    if (kind === "event-notification" || (kind === "handshake" && !this.told)) this.hears.tell({ kind: "request", method: "WS", url, received: text });
    if (kind === "handshake") {
      this.last = 0;
      this.tries = 0;
      this.told = true;
      await this.hears.bound();
      this.hears.standing("live", "");
    }
    for (const { number, focus } of events) {
      if (this.last && number > this.last + 1) await this.hears.bound(); // numbers are dense: something is missing
      this.last = Math.max(this.last, number);
      if (focus) await this.hears.changed(focus);
    }
  }

  private later(): void {
    const pause = Math.min(LONGEST, FIRST * 2 ** this.tries) * (0.75 + Math.random() / 2);
    this.tries += 1;
    this.hears.standing("waiting", String(Math.max(1, Math.round(pause / 1000))));
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.now(), pause);
  }

  /** Nobody may subscribe here: the list is read again and again instead. */
  private poll(reason: string): void {
    this.over = true;
    this.hears.standing("refused", reason);
    const turn = (): void => void this.hears.bound().catch((error: unknown) => this.end(problemOf(error).detail));
    turn();
    this.timer = window.setInterval(turn, ASKS);
  }

  private end(reason: string): void {
    this.over = true;
    clearInterval(this.timer);
    this.hears.standing("ended", reason);
  }
}

function wanted(user: string): Subscription {
  const content = { extension: [{ url: `${BACKPORT}payload-content`, valueCode: "id-only" }] };
  return {
    resourceType: "Subscription",
    meta: { profile: [`${BACKPORT}subscription`], tag: [{ system: `${BASE}/CodeSystem/subscriber`, code: user }] },
    status: "requested",
    end: new Date(Date.now() + HOLDS * 1000).toISOString(),
    reason: REASON,
    criteria: TOPIC,
    channel: {
      type: "websocket",
      payload: "application/fhir+json",
      _payload: content,
      extension: [{ url: `${BACKPORT}heartbeat-period`, valueUnsignedInt: HEARTBEAT }],
    },
  };
}

/** The kind of a notification, and its events with their number and what they are about. */
export function read(text: string): { kind: string; events: { number: number; focus: string }[] } {
  const bundle = JSON.parse(text) as Bundle;
  const status = bundle.entry?.[0]?.resource as Parameters | undefined;
  const parameters = status?.parameter ?? [];
  const events = parameters
    .filter((each) => each.name === "notification-event")
    .map((each) => new Map((each.part ?? []).map((part) => [part.name, part])))
    .map((parts) => ({
      number: Number(parts.get("event-number")?.valueString ?? 0),
      focus: (parts.get("focus")?.valueReference?.reference ?? "").split("/").slice(-2).join("/"),
    }));
  return { kind: parameters.find((each) => each.name === "type")?.valueCode ?? "", events };
}
