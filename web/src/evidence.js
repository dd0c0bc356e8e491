// What else speaks for or against: known recordings that sound alike, watermark, who may have made it.
import { el, facts, section } from "./dom.js";
import { clock, number, pValue, percent } from "./format.js";
import { known, t } from "./language.js";
import { badge } from "./marks.js";
import { playButton } from "./player.js";

/** The sections that the record has anything for. */
export function evidence(record, signal) {
  return [
    record.knowledge && neighbours(record.knowledge, signal),
    record.watermark && watermark(record.watermark),
    record.attribution && attribution(record.attribution, record.verdict, signal),
  ];
}

function neighbours(base, signal) {
  const lead = !base.entries ? "near.empty" : base.covered ? `near.${base.decided_by}` : "near.uncovered";
  const items = (base.neighbours ?? []).map((one) => {
    const name = one.generator || one.id;
    return el(
      "li",
      { class: "near" },
      badge(one.bona_fide ? "genuine" : "fake", t(one.bona_fide ? "label.genuine" : "label.fake")),
      el(
        "span",
        { class: "name" },
        one.generator || t("near.unnamed"),
        el("small", null, one.path?.split(/[\\/]/).pop()),
      ),
      el("span", { class: "figure" }, t("near.similarity", { s: number(one.similarity, 2) })),
      (one.start_s > 0 || one.window_s > 0) &&
        el("span", { class: "note" }, t("near.where", { at: clock(one.start_s), here: clock(one.window_s) })),
      entryButton(one.id, name, signal, one.start_s),
    );
  });
  return section(
    t("near.title"),
    null,
    el("p", null, t(lead, { n: number(base.entries) })),
    items.length > 0 && el("ol", { class: "plain" }, items),
  );
}

/** A button that plays an entry of the knowledge base. */
export function entryButton(id, name, signal, start_s = 0) {
  return playButton(`knowledge/entries/${encodeURIComponent(id)}/audio.wav`, name, signal, start_s);
}

function watermark(mark) {
  const found = mark.marked
    ? mark.readable
      ? mark.name
        ? "mark.named"
        : "mark.unnamed"
      : "mark.unreadable"
    : "mark.none";
  return section(
    t("mark.title"),
    null,
    el("p", null, t(found, { scheme: mark.scheme, name: mark.name ?? "" })),
    facts([
      [t("mark.scheme"), mark.scheme],
      [t("mark.chance"), pValue(mark.chance)],
      [t("mark.confidence"), mark.marked && mark.confidence !== null ? percent(mark.confidence) : null],
      [
        t("mark.spans"),
        (mark.spans ?? [])
          .slice(0, 20)
          .map((s) => `${clock(s.start_s)}–${clock(s.end_s)}`)
          .join(", "),
      ],
    ]),
    el("p", { class: "note" }, t("mark.note")),
  );
}

function attribution(found, verdict, signal) {
  const none = found.label === "none of these";
  const said =
    found.basis === "conflict"
      ? "who.conflict"
      : !found.label
        ? "who.unknown"
        : none
          ? "who.none"
          : "who.label";
  const near = (found.neighbours ?? []).map((one) =>
    el(
      "li",
      { class: "near" },
      el("span", { class: "name" }, one.name),
      el("span", { class: "figure" }, t("near.similarity", { s: number(one.similarity, 2) })),
      entryButton(one.id, one.name, signal),
    ),
  );
  return section(
    t("who.title"),
    null,
    el("p", null, t(said, { name: found.label ?? "" })),
    verdict !== "fake" && el("p", { class: "caution" }, t("who.not-fake")),
    found.note && el("p", { class: "note", lang: "en" }, found.note),
    facts([
      [t("who.confidence"), found.label ? percent(found.confidence) : null],
      [t("who.nearest"), none ? found.nearest_name : null],
      [t("who.known"), found.known === null || found.known === undefined ? null : percent(found.known)],
      [t("who.basis"), known(`basis.${found.basis}`)],
    ]),
    near.length > 0 &&
      el("details", null, el("summary", null, t("who.near")), el("ol", { class: "plain" }, near)),
    el("p", { class: "note" }, t("who.caveat")),
  );
}
