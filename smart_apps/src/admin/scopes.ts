/** Scopes in plain words, for whoever decides what an app may have at most. */
import { named, t, type Word } from "../shared/language";

const RESOURCE = /^(patient|user|system)\/(\*|[A-Za-z]+)\.([a-z*]+)(?:\?(.*))?$/;
/** Version 1 of the scopes names two bundles of letters. */
const BUNDLES: Record<string, string> = { read: "rs", write: "cud", "*": "cruds" };
const VERBS = ["r", "s", "c", "u", "d"] as const;

export interface Told {
  scope: string;
  /** What it lets the app do, and of whom. */
  what: string;
  whose: string;
  /** Worth a second look: without a person, everything, changing, or while nobody is there. */
  heavy: boolean;
}

export function told(scope: string): Told {
  const found = RESOURCE.exec(scope);
  if (!found) return special(scope);
  const [, level = "", type = "", letters = "", filter = ""] = found;
  const can = BUNDLES[letters] ?? letters;
  const does = listed(VERBS.filter((each) => can.includes(each)).map((each) => t(`scope.verb.${each}`)));
  const what = type === "*" ? t("scope.all") : named("scope.type", type, type);
  const whose = t(`scope.whose.${level}` as Word) + (filter ? ` ${t("scope.only", { filter: filtered(filter) })}` : "");
  return { scope, what: t("scope.does", { what, does }), whose, heavy: level === "system" || type === "*" || /[cud]/.test(can) };
}

function special(scope: string): Told {
  const what = named("scope.special", scope, scope.startsWith("__") ? t("scope.special.__") : t("scope.special.other"));
  return { scope, what, whose: "", heavy: scope.startsWith("__") || scope === "offline_access" };
}

function filtered(query: string): string {
  return [...new URLSearchParams(query)].map(([name, value]) => `${name} = ${value.split("|").at(-1) ?? value}`).join(", ");
}

function listed(words: string[]): string {
  return words.length < 2 ? (words[0] ?? "") : `${words.slice(0, -1).join(", ")} ${t("scope.and")} ${words.at(-1) ?? ""}`;
}
