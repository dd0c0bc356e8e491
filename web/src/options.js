// How recordings are judged: prior, model, and what else is asked for. Kept while the page is open.
import { field } from "./dialogs.js";
import { el } from "./dom.js";
import { t } from "./language.js";

const options = { prior: 0.5, model: "", knowledge: null, watermark: "", attribution: null };

/** The options as the API takes them; what was never touched is left to the server. */
export function chosen() {
  return { ...options };
}

/** The prior of live recordings. */
export function prior() {
  return options.prior;
}

/** A folded form of what this server can do. */
export function optionsForm(about) {
  const fields = [priorField()];
  if (about.models?.length > 1)
    fields.push(choice("model", about.models, t("options.model"), t("options.model.default")));
  if (about.watermarks?.length) {
    fields.push(
      choice(
        "watermark",
        about.watermarks,
        t("options.watermark"),
        t("options.watermark.none"),
        t("options.watermark.hint"),
      ),
    );
  }
  // What the boxes show is what is sent, whatever the server would do by itself.
  for (const name of ["knowledge", "attribution"])
    options[name] = about[name] ? (options[name] ?? true) : null;
  if (about.knowledge) fields.push(check("knowledge", t("options.knowledge"), t("options.knowledge.hint")));
  if (about.attribution)
    fields.push(check("attribution", t("options.attribution"), t("options.attribution.hint")));
  return el(
    "details",
    { class: "options" },
    el("summary", null, t("options")),
    el("div", { class: "fields" }, fields),
  );
}

function priorField() {
  const input = el("input", {
    type: "number",
    min: 0.1,
    max: 99.9,
    step: "any",
    inputmode: "decimal",
    value: Number((100 * options.prior).toPrecision(6)),
    oninput() {
      if (input.checkValidity() && input.value)
        options.prior = Number((Number(input.value) / 100).toPrecision(6));
    },
  });
  return field(t("options.prior"), input, t("options.prior.hint"));
}

function choice(name, values, label, none, hint) {
  const item = (value, text) => el("option", { value, selected: options[name] === value }, text);
  const select = el(
    "select",
    { onchange: () => (options[name] = select.value) },
    item("", none),
    values.map((v) => item(v, v)),
  );
  return field(label, select, hint);
}

function check(name, label, hint) {
  const box = el("input", {
    type: "checkbox",
    checked: options[name],
    onchange: () => (options[name] = box.checked),
  });
  return el("label", { class: "field check" }, box, el("span", null, label), el("small", null, hint));
}
