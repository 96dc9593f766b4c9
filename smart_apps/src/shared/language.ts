/** Language of the reader: English or German; dates and numbers as their locale writes them. */
import { de } from "./words.de";
import { en, type Words } from "./words.en";

export type Language = "en" | "de";
export type Word = keyof Words;

const KEPT = "clarity-language";
const TABLES: Record<Language, Words> = { en, de };

function chosen(): Language {
  const asked = new URL(location.href).searchParams.get("lang") ?? localStorage.getItem(KEPT) ?? navigator.language;
  return asked.toLowerCase().startsWith("de") ? "de" : "en";
}

export const language: Language = chosen();
document.documentElement.lang = language;

/** The locale for dates and numbers: the browser's own where it is of the chosen language. */
export const locale = navigator.languages.find((tag) => tag.startsWith(language)) ?? language;

/** Reads everything anew in another language. */
export function speak(next: Language): void {
  localStorage.setItem(KEPT, next);
  location.reload();
}

/** A sentence, with `{names}` filled in. */
export function t(word: Word, values: Record<string, string | number> = {}): string {
  const sentence: string | undefined = TABLES[language][word];
  return (sentence ?? word).replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** The word for a code of the server, or what the server itself calls it. */
export function named(prefix: string, code: string, otherwise: string): string {
  return (TABLES[language] as Record<string, string>)[`${prefix}.${code}`] ?? otherwise;
}

// A formatter costs a hundred times what it formats with, and a list asks for thousands.
const numbers = new Map<number, Intl.NumberFormat>();
const days = new Map<string, Intl.DateTimeFormat>();

export function number(value: number, decimals = 0): string {
  let made = numbers.get(decimals);
  if (!made) numbers.set(decimals, (made = new Intl.NumberFormat(locale, { minimumFractionDigits: decimals, maximumFractionDigits: decimals })));
  return made.format(value);
}

/** A signed difference, with a real minus sign. */
export function signed(value: number, decimals = 0): string {
  const text = number(Math.abs(value), decimals);
  return value < 0 ? `−${text}` : `+${text}`;
}

const STYLES = {
  short: { day: "numeric", month: "short", year: "numeric" },
  long: { weekday: "short", day: "numeric", month: "long", year: "numeric" },
  axis: { day: "numeric", month: "short" },
  month: { month: "short", year: "numeric" },
} as const satisfies Record<string, Intl.DateTimeFormatOptions>;

/** A local day as written in a resource: it is shown as that day wherever the reader is. */
export function day(iso: string, style: keyof typeof STYLES = "short"): string {
  let made = days.get(style);
  if (!made) days.set(style, (made = new Intl.DateTimeFormat(locale, { ...STYLES[style], timeZone: "UTC" })));
  return made.format(new Date(`${iso.slice(0, 10)}T00:00:00Z`));
}

/** Hours of a day, such as 23.5, as 23:30 (values beyond midnight wrap). */
export function clock(hours: number): string {
  const minutes = ((Math.round(hours * 60) % 1440) + 1440) % 1440;
  return `${String(Math.floor(minutes / 60)).padStart(2, "0")}:${String(minutes % 60).padStart(2, "0")}`;
}
