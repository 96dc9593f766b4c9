/** Light or dark: as the system has it, until the reader says otherwise; then as they said, in every app. */
import "./theme.css";

export type Theme = "light" | "dark";

const KEPT = "clarity-theme";
const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");

export function theme(): Theme {
  const said = localStorage.getItem(KEPT);
  if (said === "light" || said === "dark") return said;
  return system.matches ? "dark" : "light";
}

/** Puts a theme on the page: the chosen one, or light for paper. */
export function wear(worn: Theme = theme()): void {
  root.dataset["theme"] = worn;
  dispatchEvent(new Event("clarity-theme"));
}

export function turn(): void {
  const next: Theme = theme() === "dark" ? "light" : "dark";
  localStorage.setItem(KEPT, next);
  wear();
}

/** The value of a colour of the theme, for canvases, which know no custom properties. */
export function colour(name: string): string {
  return getComputedStyle(root).getPropertyValue(`--${name}`).trim();
}

wear();
system.addEventListener("change", () => wear());
