// What can be done with an analysis: take it away, say what it is, delete it.
import { analysisPath, address, download, get, post, remove } from "./api.js";
import { ask, field } from "./dialogs.js";
import { announce, el, replace, section } from "./dom.js";
import { when } from "./format.js";
import { t } from "./language.js";
import { badge } from "./marks.js";
import { inWords } from "./problems.js";
import { link } from "./router.js";

const FORMATS = ["pdf", "html", "json", "rttm"];

/** Links to the report, fetched before they are saved: so a key goes along, and a refusal is seen. */
export function downloads(analysis) {
  const note = el("p", { class: "note", role: "status" });
  const item = (format) => {
    const path = analysisPath(analysis.id, `/report.${format}`);
    const name = `${analysis.name}-report.${format}`;
    const save = async (event) => {
      event.preventDefault();
      note.textContent = t("report.making");
      try {
        await download(path, name);
        note.textContent = t("report.saved", { name });
      } catch (problem) {
        replace(note, el("span", { class: "trouble" }, inWords(problem)));
      }
    };
    const link = { href: address(path).href, class: "button", onclick: save };
    return el("li", null, el("a", link, t(`report.${format}`)));
  };
  return section(
    t("report.title"),
    null,
    el("p", null, t("report.note")),
    el("ul", { class: "plain chips" }, FORMATS.map(item)),
    note,
  );
}

/** What people said it is, and buttons to say so. */
export function labelling(analysis, about) {
  const may = about.labels && ["label", "admin"].includes(about.role);
  if (!may && !analysis.label) return null;
  const now = el("div");
  const outcome = el("p", { role: "status" });
  const show = () => replace(now, analysis.label ? given(analysis.label) : el("p", null, t("label.none")));
  const say = async (label) => {
    const answer = await labelDialog(analysis, label);
    if (!answer) return;
    analysis.label = answer.label;
    show();
    outcome.textContent = answer.knowledge?.added
      ? t("label.added")
      : t("label.not-added", { why: answer.knowledge?.why ?? "" });
  };
  const button = (label) =>
    el("button", { type: "button", onclick: () => say(label) }, t(`label.say.${label}`));
  show();
  return section(
    t("label.title"),
    null,
    now,
    may && el("p", { class: "note" }, t("label.hint")),
    may && el("div", { class: "row" }, button("genuine"), button("fake")),
    outcome,
  );
}

function given(label) {
  const who = [label.generator, label.by && t("label.by", { by: label.by }), label.at && when(label.at)]
    .filter(Boolean)
    .join(", ");
  return [
    el("p", null, badge(label.label, t(`label.${label.label}`)), " ", who),
    label.note && el("blockquote", null, label.note),
  ];
}

function labelDialog(analysis, label) {
  const names = el("datalist", { id: "generators" });
  const generator = el("input", { list: "generators", maxlength: 100, autocomplete: "off" });
  const note = el("textarea", { rows: 3, maxlength: 1000 });
  if (label === "fake") {
    get("knowledge")
      .then((base) =>
        replace(
          names,
          Object.keys(base.generators ?? {}).map((value) => el("option", { value })),
        ),
      )
      .catch(() => {});
  }
  const answer = () => ({
    label,
    generator: label === "fake" ? generator.value.trim() : "",
    note: note.value.trim(),
  });
  return ask({
    title: t(`label.ask.${label}`),
    content: [
      el("p", null, t("label.consequence")),
      label === "fake" && field(t("label.generator"), generator, t("label.generator.hint")),
      names,
      field(t("label.note"), note),
    ],
    action: t(`label.say.${label}`),
    accept: () => post(analysisPath(analysis.id, "/label"), answer()),
  });
}

/** A button that deletes the analysis, once confirmed. */
export function deletion(analysis, about) {
  if (about.role === "scan") return null;
  const sure = () =>
    ask({
      title: t("delete.title"),
      content: [el("p", { class: "name" }, analysis.name), el("p", null, t("delete.consequence"))],
      action: t("delete"),
      danger: true,
      accept: () => remove(analysisPath(analysis.id)).then(() => true),
    });
  const start = async () => {
    if (!(await sure())) return;
    announce(t("delete.done"));
    location.hash = link("history");
  };
  return section(
    t("delete.heading"),
    null,
    el("p", null, el("button", { type: "button", class: "danger", onclick: start }, t("delete"))),
  );
}
