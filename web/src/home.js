// The first page: give recordings, see what becomes of them.
import { add, announce, el, replace } from "./dom.js";
import { percent, size } from "./format.js";
import { known, t } from "./language.js";
import { badge } from "./marks.js";
import { optionsForm } from "./options.js";
import { recorder } from "./record.js";
import { link } from "./router.js";
import { clearFinished, follow, retry, sendAll } from "./uploads.js";
import { verdictName } from "./words.js";

export function home(main, { about, signal }) {
  const list = el("div", { class: "uploads" });
  add(
    main,
    el("h1", null, t("home.title")),
    el("p", { class: "lead" }, t("home.lead")),
    dropZone(about),
    recorder(about, signal),
    optionsForm(about),
    list,
    el(
      "p",
      { class: "note" },
      [t("home.keep.here"), known(`keep.${about.keep}`) ?? keepDays(about.keep)].join(t("space")),
    ),
  );
  const spoken = new Set();
  follow((items) => draw(list, items, spoken), signal);
}

function keepDays(keep) {
  const n = /^(\d+) ?d(?:ays?)?$/.exec(keep ?? "")?.[1];
  if (!n) return "";
  return n === "1" ? t("keep.day") : t("keep.days", { n });
}

function dropZone(about) {
  const give = (files) => sendAll([...files], about.limits);
  const input = el("input", {
    type: "file",
    multiple: true,
    accept: "audio/*,video/*,.flac,.opus,.amr,.wma,.mkv,.g722",
    class: "unseen",
    tabindex: "-1",
    "aria-hidden": "true",
    onchange() {
      give(input.files);
      input.value = "";
    },
  });
  const button = el(
    "button",
    { type: "button", class: "main", onclick: () => input.click() },
    t("home.choose"),
  );
  const limit = about.limits?.max_bytes ? t("home.limit", { size: size(about.limits.max_bytes) }) : "";
  const zone = el(
    "div",
    { class: "drop" },
    el("p", { class: "big" }, t("home.drop")),
    el("p", null, button, input),
    el("p", { class: "note" }, [t("home.formats"), limit].filter(Boolean).join(t("space"))),
  );
  let depth = 0;
  const hold = (step) => (event) => {
    event.preventDefault();
    depth = Math.max(0, depth + step);
    zone.classList.toggle("over", depth > 0);
  };
  zone.addEventListener("dragenter", hold(1));
  zone.addEventListener("dragleave", hold(-1));
  zone.addEventListener("dragover", (event) => event.preventDefault());
  zone.addEventListener("drop", (event) => {
    hold(-depth)(event);
    give(event.dataTransfer.files);
  });
  return zone;
}

function draw(box, items, spoken) {
  if (!items.length) return replace(box);
  const clear = items.some((item) => ["done", "failed"].includes(item.state));
  const head = el(
    "div",
    { class: "row" },
    el("h2", null, t("home.list")),
    clear && el("button", { type: "button", class: "small", onclick: clearFinished }, t("home.clear")),
  );
  const had = document.activeElement?.dataset?.focus;
  replace(box, head, el("ul", { class: "plain" }, items.map(row)));
  if (had) box.querySelector(`[data-focus="${had}"]`)?.focus();
  for (const item of items) tellOnce(item, spoken);
}

function row(item) {
  const { analysis } = item;
  const name = analysis
    ? el("a", { href: link("analyses", [analysis.id]), "data-focus": item.token }, item.name)
    : el("span", null, item.name);
  return el(
    "li",
    { class: "upload" },
    el("div", { class: "name" }, name, el("small", null, size(item.file.size))),
    state(item),
  );
}

function state(item) {
  if (item.state === "failed") {
    const again = el(
      "button",
      { type: "button", class: "small", "data-focus": item.token, onclick: () => retry(item) },
      t("again"),
    );
    return el(
      "div",
      { class: "state" },
      el("span", { class: "trouble" }, item.trouble),
      !item.refused && again,
    );
  }
  const record = item.analysis?.record;
  if (item.state === "done" && record) {
    const sure =
      record.p_fake === null ? null : el("span", null, t("p-fake.short", { p: percent(record.p_fake) }));
    return el("div", { class: "state" }, badge(record.verdict), sure);
  }
  const share = item.state === "hearing" ? item.analysis.progress : item.share;
  const text = stateText(item, share);
  const bar = el("progress", {
    max: 1,
    value: item.state === "waiting" ? 0 : share,
    "aria-label": `${item.name}: ${text}`,
  });
  return el("div", { class: "state" }, bar, el("span", { class: "figure" }, text));
}

function stateText(item, share) {
  if (item.state === "waiting") return t("state.waiting");
  if (item.state === "sending") return t("state.sending", { p: percent(share) });
  if (item.analysis.state === "queued") return t("state.queued");
  return share === null || share === undefined
    ? t("state.running")
    : t("state.hearing", { p: percent(share) });
}

// Progress is not read out step by step, only what came of it.
function tellOnce(item, spoken) {
  if (!["done", "failed"].includes(item.state)) return spoken.delete(item.token);
  if (spoken.has(item.token)) return;
  spoken.add(item.token);
  const outcome =
    item.state === "done" ? verdictName(item.analysis.record?.verdict ?? "error") : item.trouble;
  announce(`${item.name}: ${outcome}`);
}
