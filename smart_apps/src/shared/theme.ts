/** Light or dark: as the system has it, until the reader says otherwise; then as they said, in every app. */
import "./theme.css";

export type Theme = "light" | "dark";

const KEPT = "clarity-theme";
const root = document.documentElement;

export function theme(): Theme {
  const said = root.dataset["theme"];
  if (said === "light" || said === "dark") return said;
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}

export function turn(): void {
  const next: Theme = theme() === "dark" ? "light" : "dark";
  localStorage.setItem(KEPT, next);
  root.dataset["theme"] = next;
  dispatchEvent(new Event("clarity-theme"));
}

/** The value of a colour of the theme, for canvases, which know no custom properties. */
export function colour(name: string): string {
  return getComputedStyle(root).getPropertyValue(`--${name}`).trim();
}

const kept = localStorage.getItem(KEPT);
if (kept === "light" || kept === "dark") root.dataset["theme"] = kept;
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("clarity-theme")));
