// Has what comes in changed since the reference? State, tests, and the days.
import { Problem, get } from "./api.js";
import { add, el, section, svg } from "./dom.js";
import { number, pValue, percent } from "./format.js";
import { known, t } from "./language.js";
import { shape } from "./marks.js";
import { LEFT, RIGHT, responsive } from "./plots.js";

const KINDS = ["genuine", "uncertain", "fake", "other"];
const SIGNS = { quiet: "genuine", watch: "uncertain", alarm: "fake", "too-few": "no-speech" };

export async function drift(main, { signal }) {
  add(main, el("h1", null, t("drift.title")), el("p", { class: "lead" }, t("drift.lead")));
  let found;
  try {
    found = await get("drift", {}, signal);
  } catch (problem) {
    if (problem instanceof Problem && problem.code === "no-drift")
      return add(main, el("p", null, t("drift.none")));
    throw problem;
  }
  add(
    main,
    state(found),
    found.days?.length > 0 && days(found.days),
    found.tests?.length > 0 && tests(found.tests),
  );
}

function state(found) {
  return el(
    "section",
    { class: `verdict is-${SIGNS[found.state] ?? "no-speech"}`, "aria-labelledby": "state" },
    el(
      "h2",
      { class: "says", id: "state" },
      shape(SIGNS[found.state]),
      known(`drift.${found.state}`) ?? found.state,
    ),
    el("p", null, known(`drift.${found.state}.line`, { n: number(found.recordings) }) ?? ""),
    found.note && el("p", { class: "note", lang: "en" }, found.note),
  );
}

function tests(all) {
  const heads = ["drift.test", "drift.p", "drift.result"].map((key) => el("th", { scope: "col" }, t(key)));
  const line = (one) =>
    el(
      "tr",
      null,
      el("th", { scope: "row" }, known(`drift.test.${one.name}`) ?? one.name),
      el("td", null, pValue(one.p_value)),
      el("td", null, t(one.alarm ? "drift.changed" : "drift.same")),
    );
  return section(
    t("drift.tests"),
    null,
    el("p", { class: "note" }, t("drift.tests.note")),
    el("table", null, el("thead", null, el("tr", null, heads)), el("tbody", null, all.map(line))),
  );
}

function days(all) {
  const legend = KINDS.map((kind) => el("span", { class: "key" }, swatch(kind), t(`drift.kind.${kind}`)));
  return section(
    t("drift.days"),
    { class: "part wide" },
    el("p", { class: "row" }, legend),
    responsive((width) => bars(all, width)),
    el("h3", null, t("drift.mean")),
    responsive((width) => means(all, width)),
    el("details", null, el("summary", null, t("drift.table")), dayTable(all)),
  );
}

function swatch(kind) {
  return svg("svg", { width: 18, height: 14, "aria-hidden": "true" }, block(1, 1, 16, 12, kind));
}

function block(x, y, width, height, kind) {
  const box = { x, y, width, height };
  return [
    svg("rect", { ...box, class: `block is-${kind}` }),
    kind === "fake" && svg("rect", { ...box, fill: "url(#hatch)" }),
  ];
}

// Columns of all days between the first and the last, a label where there is room.
function frame(all, width, height, top, ticks, label, body) {
  const bottom = height - 24;
  const inner = Math.max(40, width - LEFT - RIGHT);
  const slot = inner / all.length;
  const y = (value) => bottom - (value / top) * (bottom - 12);
  const rows = ticks.map((tick) => [
    svg("line", { x1: LEFT, x2: width - RIGHT, y1: y(tick.value), y2: y(tick.value), class: "grid" }),
    svg("text", { x: LEFT - 6, y: y(tick.value) + 4, class: "tick end" }, tick.text),
  ]);
  const every = Math.max(1, Math.ceil(64 / slot));
  const names = all.map(
    (day, i) =>
      i % every === 0 &&
      svg(
        "text",
        {
          x: LEFT + (i + 0.5) * slot,
          y: height - 6,
          class: `tick ${i === 0 && all.length > 4 ? "start" : "middle"}`,
        },
        day.day.slice(5),
      ),
  );
  return svg(
    "svg",
    { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    svg("g", { "aria-hidden": "true" }, rows, names),
    body(slot, y),
  );
}

function bars(all, width) {
  const most = Math.max(1, ...all.map((day) => day.recordings));
  const ticks = [0, most].map((value) => ({ value, text: number(value) }));
  return frame(
    all,
    width,
    180,
    most,
    ticks,
    t("drift.days.label", { n: all.length, most: number(most) }),
    (slot, y) =>
      all.map((day, i) => {
        let from = 0;
        return KINDS.map((kind) => {
          const to = from + (day[kind] ?? 0);
          const drawn =
            to > from && block(LEFT + i * slot + slot * 0.12, y(to), slot * 0.76, y(from) - y(to), kind);
          from = to;
          return drawn;
        });
      }),
  );
}

function means(all, width) {
  const ticks = [0, 0.5, 1].map((value) => ({ value, text: percent(value) }));
  return frame(all, width, 120, 1, ticks, t("drift.mean.label"), (slot, y) => {
    const points = all
      .map((day, i) => ({ x: LEFT + (i + 0.5) * slot, p: day.mean_p_fake }))
      .filter((one) => one.p !== null && one.p !== undefined);
    return [
      svg("polyline", {
        points: points.map((one) => `${one.x.toFixed(1)},${y(one.p).toFixed(1)}`).join(" "),
        class: "curve",
      }),
      points.map((one) => svg("circle", { cx: one.x, cy: y(one.p), r: 3, class: "point" })),
    ];
  });
}

function dayTable(all) {
  const heads = [
    t("drift.day"),
    t("drift.recordings"),
    ...KINDS.map((kind) => t(`drift.kind.${kind}`)),
    t("drift.mean.short"),
  ];
  const line = (day) =>
    el(
      "tr",
      null,
      el("th", { scope: "row" }, day.day),
      [day.recordings, ...KINDS.map((kind) => day[kind] ?? 0)].map((n) => el("td", null, number(n))),
      el("td", null, percent(day.mean_p_fake)),
    );
  return el(
    "div",
    { class: "scroll", tabindex: 0, role: "region", "aria-label": t("drift.table") },
    el(
      "table",
      null,
      el(
        "thead",
        null,
        el(
          "tr",
          null,
          heads.map((h) => el("th", { scope: "col" }, h)),
        ),
      ),
      el("tbody", null, all.map(line)),
    ),
  );
}
