// Which language the page speaks, and its strings with values filled in.
import { strings } from "./strings.js";

export const LANGUAGES = ["en", "ja"];
const KEY = "earwitness.language";
let language = "en";

/** The language of the page: "en" or "ja". */
export function current() {
  return language;
}

/** The one kept from last time, or the browser's. */
export function preferred(wanted = globalThis.navigator?.languages ?? []) {
  const kept = recall(KEY);
  if (LANGUAGES.includes(kept)) return kept;
  const first = wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find((tag) => LANGUAGES.includes(tag));
  return first ?? "en";
}

/** Speak this language from now on; `keep` remembers it. */
export function speak(chosen, keep = false) {
  language = chosen;
  if (keep) remember(KEY, chosen);
  if (globalThis.document) document.documentElement.lang = chosen;
}

/** The string of a key, `{names}` replaced by values. An unknown key shows itself. */
export function t(key, values = {}) {
  const pair = strings[key];
  if (!pair) return key;
  return pair[LANGUAGES.indexOf(language)].replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** The string of a key if there is one, or null. */
export function known(key, values) {
  return Object.hasOwn(strings, key) ? t(key, values) : null;
}

/** What was kept under a key; browsers that keep nothing answer null. */
export function recall(key, store = "localStorage") {
  try {
    return globalThis[store].getItem(key);
  } catch {
    return null;
  }
}

/** Keep a value, or forget it if it is null. */
export function remember(key, value, store = "localStorage") {
  try {
    if (value === null) globalThis[store].removeItem(key);
    else globalThis[store].setItem(key, value);
  } catch {
    // Kept until the page is closed, then.
  }
}
