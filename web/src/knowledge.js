// The knowledge base: how much of what is in it, and its newest entries to listen to.
import { get } from "./api.js";
import { field } from "./dialogs.js";
import { add, el, facts, pause, replace, section } from "./dom.js";
import { entryButton } from "./evidence.js";
import { length, number, when } from "./format.js";
import { t } from "./language.js";
import { badge } from "./marks.js";
import { trouble } from "./problems.js";

const PAGE = 25;
const FIRST_GENERATORS = 15;

export async function knowledge(main, { about, signal }) {
  add(main, el("h1", null, t("knowledge.title")), el("p", { class: "lead" }, t("knowledge.lead")));
  if (!about.knowledge) return add(main, el("p", null, t("knowledge.off")));
  const base = await get("knowledge", {}, signal);
  add(main, el("div", { class: "columns" }, counts(base), generators(base)), entries(signal));
}

function counts(base) {
  return section(
    t("knowledge.counts"),
    null,
    facts([
      [t("knowledge.entries"), number(base.entries)],
      [t("label.genuine"), number(base.genuine)],
      [t("label.fake"), number(base.fake)],
    ]),
  );
}

function generators(base) {
  const all = Object.entries(base.generators ?? {}).sort((a, b) => b[1] - a[1]);
  const most = Math.max(1, ...all.map(([, n]) => n));
  const box = el("div");
  const line = ([name, n]) =>
    el(
      "li",
      { class: "count" },
      el("span", { class: "name" }, name || t("near.unnamed")),
      el("span", { class: "figure" }, number(n)),
      el("span", { class: "share", "aria-hidden": "true", style: `--share:${n / most}` }),
    );
  const draw = (many) =>
    replace(
      box,
      all.length
        ? el("ul", { class: "plain" }, all.slice(0, many).map(line))
        : el("p", null, t("knowledge.no-generators")),
      all.length > many &&
        el(
          "button",
          { type: "button", class: "small", onclick: () => draw(all.length) },
          t("knowledge.more-generators", { n: all.length - many }),
        ),
    );
  draw(FIRST_GENERATORS);
  return section(t("knowledge.generators"), null, box);
}

function entries(signal) {
  const list = el("ul", { class: "plain rows" });
  const more = el("div");
  let q = "";
  let turn = 0;

  async function load(before) {
    const mine = ++turn;
    try {
      const found = await get("knowledge/entries", { q, limit: PAGE, before }, signal);
      if (mine !== turn || signal.aborted) return;
      if (!before) list.replaceChildren();
      add(
        list,
        found.entries.map((one) => row(one, signal)),
      );
      const note = list.children.length ? null : el("p", null, t("history.no-match"));
      replace(
        more,
        note,
        found.next && el("button", { type: "button", onclick: () => load(found.next) }, t("knowledge.more")),
      );
    } catch (problem) {
      if (mine === turn && !signal.aborted) replace(more, trouble(problem));
    }
  }

  const search = el("input", {
    type: "search",
    async oninput() {
      q = search.value.trim();
      const mine = ++turn;
      await pause(250, signal).catch(() => {});
      if (mine === turn && !signal.aborted) load();
    },
  });
  load();
  const form = el(
    "form",
    { class: "fields", role: "search", onsubmit: (event) => event.preventDefault() },
    field(t("knowledge.search"), search),
  );
  return section(t("knowledge.newest"), { class: "part wide" }, form, list, more);
}

function row(one, signal) {
  return el(
    "li",
    { class: "entry known" },
    badge(one.label, t(`label.${one.label}`)),
    el(
      "span",
      { class: "name" },
      one.generator || (one.label === "fake" ? t("near.unnamed") : ""),
      one.note && el("small", null, one.note),
    ),
    one.playable
      ? entryButton(one.id, one.generator || one.id, signal)
      : el("span", { class: "note" }, t("knowledge.silent")),
    el("small", null, [length(one.duration_s), when(one.added), one.id].join(" · ")),
  );
}
