// One analysis: waited for, then shown with all that is known of it.
import { analysisPath, get } from "./api.js";
import { deletion, downloads, labelling } from "./actions.js";
import { add, announce, el, replace } from "./dom.js";
import { evidence } from "./evidence.js";
import { fileFacts, qualityFacts, warnings } from "./facts.js";
import { length, percent, when } from "./format.js";
import { t } from "./language.js";
import { listening } from "./listen.js";
import { finished, watch } from "./uploads.js";
import { verdictBlock } from "./verdict.js";
import { explain } from "./words.js";

export async function analysis(main, { ids, about, signal }) {
  let found = await get(analysisPath(ids[0]), {}, signal);
  const title = el("h1", { class: "name" }, found.name);
  const body = el("div");
  add(main, title, subtitle(found), body);
  document.title = `${found.name} – earwitness`;
  if (!finished(found)) {
    const wait = waiting();
    add(replace(body), wait.node);
    found = await watch(found, wait.update, signal);
    announce(`${found.name}: ${explain(found.record).heading}`);
  }
  show(body, found, about, signal);
}

function subtitle(found) {
  const parts = [
    when(found.created),
    found.record?.duration_s ? length(found.record.duration_s) : null,
  ].filter(Boolean);
  return el("p", { class: "note" }, parts.join(" · "));
}

function waiting() {
  const bar = el("progress", { max: 1, "aria-label": t("state.running") });
  const text = el("span", { class: "figure" }, t("state.queued"));
  return {
    node: el("p", { class: "state" }, bar, text),
    update({ state, progress }) {
      if (progress !== null && progress !== undefined) bar.value = progress;
      text.textContent =
        state === "queued"
          ? t("state.queued")
          : bar.value
            ? t("state.hearing", { p: percent(bar.value) })
            : t("state.running");
    },
  };
}

function show(body, found, about, signal) {
  const { record } = found;
  const heard = record.verdict !== "error";
  replace(
    body,
    verdictBlock(record),
    warnings(record),
    heard && listening(found, record, signal),
    el(
      "div",
      { class: "columns" },
      evidence(record, signal),
      downloads(found),
      heard && labelling(found, about),
      qualityFacts(record),
      fileFacts(found, record),
      deletion(found, about),
    ),
  );
}
