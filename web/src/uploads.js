// Recordings on their way: sent two at a time, then watched until they are heard. Outlives the views.
import { analysisPath, get, upload } from "./api.js";
import { pause } from "./dom.js";
import { chosen } from "./options.js";
import { inWords } from "./problems.js";
import { t } from "./language.js";

const AT_ONCE = 2;
const KEPT_FILES = 20;
const items = [];
const files = new Map(); // id of an analysis to the file it was made of, as long as the page is open
const listeners = new Set();

/** Hear of changes until the signal ends; called once at the start. */
export function follow(listener, signal) {
  listeners.add(listener);
  signal.addEventListener("abort", () => listeners.delete(listener));
  listener(items);
}

/** The file that an analysis was made of, if it was dropped here just now. */
export function fileOf(id) {
  return files.get(id) ?? null;
}

/** Send files, with the options as they are now. */
export function sendAll(list, limits) {
  for (const file of list) {
    const refused = refusal(file, limits);
    const state = refused ? "failed" : "waiting";
    items.unshift({
      file,
      name: file.name,
      options: chosen(),
      token: token(),
      state,
      refused,
      trouble: refused,
      share: 0,
    });
  }
  pump();
}

// Why a file need not be sent at all, or "".
function refusal(file, limits) {
  if (file.size === 0) return t("error.empty-file");
  return limits?.max_bytes && file.size > limits.max_bytes ? t("problem.too-big") : "";
}

/** Try a failed one again. */
export function retry(item) {
  Object.assign(item, { state: "waiting", share: 0, trouble: "" });
  pump();
}

/** Take those that are finished off the list. */
export function clearFinished() {
  items.splice(0, items.length, ...items.filter((item) => !["done", "failed"].includes(item.state)));
  tell();
}

function tell() {
  for (const listener of listeners) listener(items);
}

function pump() {
  const busy = items.filter((item) => item.state === "sending").length;
  const waiting = items.filter((item) => item.state === "waiting").reverse(); // oldest first
  for (const item of waiting.slice(0, Math.max(0, AT_ONCE - busy))) carry(item);
  tell();
}

async function carry(item) {
  item.state = "sending";
  tell();
  try {
    const share = (value) => {
      item.share = value;
      tell();
    };
    item.analysis = await upload(item.file, item.name, item.options, item.token, share);
    keep(item.analysis.id, item.file);
    item.state = "hearing";
    pump();
    await watch(item.analysis, (analysis) => {
      item.analysis = analysis;
      tell();
    });
    item.state = "done";
  } catch (problem) {
    Object.assign(item, { state: "failed", trouble: inWords(problem) });
  }
  pump();
}

function keep(id, file) {
  files.set(id, file);
  if (files.size > KEPT_FILES) files.delete(files.keys().next().value);
}

/** Ask about an analysis, more and more seldom, until it is finished. */
export async function watch(analysis, onchange, signal) {
  let wait = 400;
  while (!finished(analysis)) {
    await pause(wait, signal);
    wait = Math.min(3000, wait * 1.3);
    analysis = await get(analysisPath(analysis.id), {}, signal);
    onchange(analysis);
  }
  onchange(analysis);
  return analysis;
}

/** Whether nothing more will come. */
export function finished(analysis) {
  return analysis.state === "done" || analysis.state === "parked";
}

function token() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
}
