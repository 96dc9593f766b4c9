/**
 * Tells the EHR simulator what this app sends and receives, when the simulator opened it for that: it names the window.
 * Apps opened from elsewhere tell nobody anything.
 */
export const CHANNEL = "clarity-flow";
/** On this channel the page that flows of the simulator come back to hands its address on. */
export const RETURNED = "clarity-return";
export const TRACED = "clarity-traced";

export interface Event_ {
  kind: "redirect" | "request" | "arrival" | "note";
  at: number;
  method?: string;
  url?: string;
  status?: number;
  sent?: string;
  received?: string;
  text?: string;
}

const traced = window.name.startsWith(TRACED);
const channel = traced ? new BroadcastChannel(CHANNEL) : null;

/** Tells of one step of the flow. */
export function tell(event: Omit<Event_, "at">): void {
  channel?.postMessage({ ...event, at: Date.now() });
}

/** Wraps `fetch`, so that whatever a library sends is told; answers are passed on untouched. */
export function watch(post: (event: Event_) => void): () => void {
  const real = window.fetch;
  window.fetch = async (input, init) => {
    const url = input instanceof Request ? input.url : String(input);
    const method = (init?.method ?? (input instanceof Request ? input.method : "GET")).toUpperCase();
    const sent = typeof init?.body === "string" || init?.body instanceof URLSearchParams ? String(init.body) : undefined;
    const answer = await real(input, init);
    const said = /json/.test(answer.headers.get("content-type") ?? "") ? await answer.clone().text() : "";
    post({
      kind: "request", at: Date.now(), method, url, status: answer.status,
      received: said.length > 20_000 ? `${said.slice(0, 20_000)} …` : said, ...(sent === undefined ? {} : { sent }),
    });
    return answer;
  };
  return () => {
    window.fetch = real;
  };
}

if (channel) {
  tell({ kind: "arrival", url: location.href });
  watch((event) => channel.postMessage(event));
}
