// The verdict block: what was found, what it means, how strong it is.
import { el } from "./dom.js";
import { percent, priorPercent } from "./format.js";
import { t } from "./language.js";
import { kind, shape } from "./marks.js";
import { explain, pFake, support, zone } from "./words.js";

const PRIORS = [0.01, 0.1, 0.5];

/** All that is said of the verdict. */
export function verdictBlock(record) {
  const said = explain(record);
  const strong = support(record);
  return el(
    "section",
    { class: `verdict ${kind(record.verdict)}`, "aria-labelledby": "verdict" },
    el("h2", { class: "says", id: "verdict" }, shape(record.verdict), said.heading),
    said.lines.map((line) => el("p", null, line)),
    record.error && el("p", { class: "note", lang: "en" }, record.error.message),
    record.p_fake !== null && record.p_fake !== undefined && scale(record),
    strong && el("p", null, el("strong", null, strong.heading), t("space"), strong.line),
    el("p", { class: "limits" }, said.limits),
    strong && priors(record),
  );
}

// P(fake) between the two thresholds, as a ruler.
function scale(record) {
  const { p_fake, thresholds } = record;
  const at = (share) => `left:${(100 * share).toFixed(2)}%`;
  const part = (name, from, to) =>
    el("span", { class: `zone is-${name}`, style: `left:${100 * from}%;width:${100 * (to - from)}%` });
  const label = t("scale.label", {
    p: percent(p_fake),
    genuine: percent(thresholds.genuine),
    fake: percent(thresholds.fake),
  });
  return el(
    "div",
    { class: "scale", role: "img", "aria-label": label },
    el(
      "div",
      { class: "ruler" },
      part("genuine", 0, thresholds.genuine),
      part("uncertain", thresholds.genuine, thresholds.fake),
      part("fake", thresholds.fake, 1),
      el("span", { class: "needle", style: at(p_fake) }),
    ),
    el(
      "div",
      { class: "scale-words", "aria-hidden": "true" },
      el("span", null, t("verdict.genuine")),
      el("span", { class: "figure" }, t("p-fake.short", { p: percent(p_fake) })),
      el("span", null, t("verdict.fake")),
    ),
  );
}

function priors(record) {
  const rows = PRIORS.map((prior) => {
    const p = pFake(record.llr, prior);
    return el(
      "tr",
      null,
      el("th", { scope: "row" }, priorPercent(prior)),
      el("td", null, percent(p)),
      el("td", null, t(`verdict.${zone(p, record.thresholds)}`)),
    );
  });
  const heads = ["priors.prior", "priors.p", "priors.verdict"].map((key) =>
    el("th", { scope: "col" }, t(key)),
  );
  return el(
    "details",
    null,
    el("summary", null, t("priors.title")),
    el("p", null, t("priors.note")),
    el("table", null, el("thead", null, el("tr", null, heads)), el("tbody", null, rows)),
    el("p", { class: "note" }, t("support.scale")),
  );
}
