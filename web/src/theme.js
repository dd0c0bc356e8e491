// Light or dark: as the system says, unless the reader chose.
import { recall, remember } from "./language.js";

const KEY = "earwitness.theme";
const system = globalThis.matchMedia?.("(prefers-color-scheme: dark)");

/** Whether the page is dark now. */
export function isDark() {
  const kept = recall(KEY);
  return kept ? kept === "dark" : Boolean(system?.matches);
}

/** Put the theme on the page; whatever draws with colours hears of it by the event "themed". */
export function dress() {
  document.documentElement.dataset.theme = isDark() ? "dark" : "light";
  document.dispatchEvent(new Event("themed"));
}

/** The other one, and remember it. */
export function toggleTheme() {
  remember(KEY, isDark() ? "light" : "dark");
  dress();
}

/** Follow the system from now on. */
export function followSystem() {
  system?.addEventListener("change", dress);
  dress();
}

/** The value of a colour of the style sheet, for canvases. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
