// All analyses: searched, filtered, a page at a time; two of them to compare.
import { get } from "./api.js";
import { field } from "./dialogs.js";
import { add, announce, el, pause, replace } from "./dom.js";
import { length, percent, when } from "./format.js";
import { t } from "./language.js";
import { badge } from "./marks.js";
import { trouble } from "./problems.js";
import { keepQuery, link } from "./router.js";
import { finished } from "./uploads.js";

const PAGE = 25;
const VERDICTS = ["fake", "genuine", "uncertain", "no-speech", "error"];
const picked = new Map(); // id to name; at most two, kept over pages

export async function historyView(main, { query, signal }) {
  const wanted = { q: query.q ?? "", verdict: query.verdict ?? "", label: query.label ?? "" };
  const before = query.before ? [query.before] : []; // where each page after the first begins
  const list = el("div");
  const bar = el("div", { class: "compare-bar" });
  let turn = 0;

  async function load(say = true) {
    const mine = ++turn;
    try {
      const found = await get("analyses", { ...wanted, limit: PAGE, before: before.at(-1) }, signal);
      if (mine !== turn || signal.aborted) return;
      draw(found);
      if (say) announce(t("history.count", { n: found.analyses.length }));
    } catch (problem) {
      if (mine === turn && !signal.aborted) replace(list, trouble(problem));
    }
  }

  function draw({ analyses, next }) {
    const rows = analyses.map((one) => row(one, drawBar));
    const go = (change) => async () => {
      change();
      keepQuery("history", { ...wanted, before: before.at(-1) });
      await load();
      list.querySelector("a")?.focus();
    };
    replace(
      list,
      rows.length
        ? el("ul", { class: "plain rows" }, rows)
        : el("p", null, t(Object.values(wanted).some(Boolean) ? "history.no-match" : "history.empty")),
      el(
        "nav",
        { class: "row", "aria-label": t("history.pages") },
        before.length > 0 &&
          el("button", { type: "button", onclick: go(() => before.pop()) }, t("history.newer")),
        next && el("button", { type: "button", onclick: go(() => before.push(next)) }, t("history.older")),
      ),
    );
    drawBar();
  }

  function drawBar() {
    const ids = [...picked.keys()];
    for (const box of list.querySelectorAll("input[type=checkbox]"))
      box.disabled = ids.length === 2 && !picked.has(box.value);
    const clear = () => {
      picked.clear();
      for (const box of list.querySelectorAll("input[type=checkbox]")) box.checked = false;
      drawBar();
    };
    replace(
      bar,
      el(
        "span",
        { role: "status" },
        ids.length
          ? t("compare.chosen", { names: [...picked.values()].join(", "), n: ids.length })
          : t("compare.choose"),
      ),
      ids.length === 2 && el("a", { class: "button main", href: link("compare", ids) }, t("compare.go")),
      ids.length > 0 && el("button", { type: "button", class: "small", onclick: clear }, t("compare.clear")),
    );
  }

  async function change(name, value) {
    wanted[name] = value;
    before.length = 0;
    keepQuery("history", wanted);
    const mine = ++turn;
    await pause(name === "q" ? 250 : 0, signal).catch(() => {});
    if (mine === turn && !signal.aborted) load();
  }

  add(main, el("h1", null, t("history.title")), filters(wanted, change), bar, list);
  await load(false);
}

function filters(wanted, change) {
  const search = el("input", {
    type: "search",
    value: wanted.q,
    oninput: () => change("q", search.value.trim()),
  });
  const choice = (name, values, text) => {
    const item = (value, label) => el("option", { value, selected: wanted[name] === value }, label);
    const select = el(
      "select",
      { onchange: () => change(name, select.value) },
      item("", t("history.any")),
      values.map((v) => item(v, text(v))),
    );
    return select;
  };
  return el(
    "form",
    { class: "fields", role: "search", onsubmit: (event) => event.preventDefault() },
    field(t("history.search"), search),
    field(
      t("history.verdict"),
      choice("verdict", VERDICTS, (v) => t(`verdict.${v}`)),
    ),
    field(
      t("history.label"),
      choice("label", ["fake", "genuine"], (v) => t(`label.${v}`)),
    ),
  );
}

function row(one, onpick) {
  const { id, name, record } = one;
  const comparable = finished(one) && record;
  const box = el("input", {
    type: "checkbox",
    value: id,
    checked: picked.has(id),
    "aria-label": t("compare.pick", { name }),
    onchange() {
      if (box.checked && picked.size < 2) picked.set(id, name);
      else picked.delete(id);
      onpick();
    },
  });
  const facts = [length(record?.duration_s), when(one.created)];
  if (one.label) facts.push(t("history.labelled", { label: t(`label.${one.label.label}`) }));
  return el(
    "li",
    { class: "entry" },
    comparable ? box : el("span"),
    el("a", { class: "name", href: link("analyses", [id]) }, name),
    comparable
      ? badge(record.verdict)
      : el("span", { class: "badge" }, t(one.state === "queued" ? "state.queued" : "state.running")),
    el(
      "span",
      { class: "figure" },
      record?.p_fake === null || record?.p_fake === undefined
        ? ""
        : t("p-fake.short", { p: percent(record.p_fake) }),
    ),
    el("small", null, facts.join(" · ")),
  );
}
