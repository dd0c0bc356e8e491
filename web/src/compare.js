// Two analyses side by side, on the same scales.
import { analysisPath, get } from "./api.js";
import { add, el, svg } from "./dom.js";
import { length, number, percent, priorPercent, ratio } from "./format.js";
import { t } from "./language.js";
import { badge } from "./marks.js";
import { LEFT, RIGHT, responsive, timelinePlot, windowsPlot } from "./plots.js";
import { playButton } from "./player.js";
import { qualityRows } from "./facts.js";
import { link } from "./router.js";
import { explain, support } from "./words.js";

export async function compare(main, { ids, signal }) {
  if (ids.length !== 2) {
    return add(
      main,
      el("h1", null, t("compare.title")),
      el("p", null, t("compare.two")),
      el("p", null, el("a", { href: link("history") }, t("nav.history"))),
    );
  }
  const pair = await Promise.all(ids.map((id) => get(analysisPath(id), {}, signal)));
  const waves = await Promise.all(pair.map((one) => peaksOf(one, signal)));
  const duration = Math.max(...pair.map((one) => one.record?.duration_s ?? 0)) || 1;
  const loud = Math.max(0.01, ...waves.flatMap((wave) => wave?.peaks ?? []));
  add(
    main,
    el("h1", null, t("compare.title")),
    cautions(pair).map((text) => el("p", { class: "caution" }, text)),
    el(
      "div",
      { class: "pair" },
      pair.map((one, i) => side(one, waves[i], duration, loud, signal)),
    ),
    table(pair),
  );
}

function peaksOf(one, signal) {
  return one.audio && one.record?.verdict !== "error"
    ? get(analysisPath(one.id, "/peaks"), {}, signal).catch(() => null)
    : null;
}

// What makes two figures say different things.
function cautions([a, b]) {
  const differ = (read) => a.record && b.record && read(a.record) !== read(b.record);
  return [
    differ((r) => r.prior) && t("compare.priors"),
    differ((r) => r.model?.digest) && t("compare.models"),
    a.sha256 && a.sha256 === b.sha256 && t("compare.same-file"),
  ].filter(Boolean);
}

function side(one, wave, duration, loud, signal) {
  const { record } = one;
  const title = el("h2", { class: "name" }, el("a", { href: link("analyses", [one.id]) }, one.name));
  if (!record) return el("section", { class: "part" }, title, el("p", null, t("state.running")));
  const said = explain(record);
  const strong = support(record);
  return el(
    "section",
    { class: "part" },
    title,
    el("p", null, badge(record.verdict, said.heading)),
    said.lines.map((line) => el("p", null, line)),
    strong && el("p", null, el("strong", null, strong.heading)),
    wave &&
      el(
        "div",
        null,
        envelope(wave, duration, loud),
        playButton(analysisPath(one.id, "/audio.wav"), one.name, signal),
      ),
    record.timeline && [el("h3", null, t("timeline.title")), timelinePlot(record, { duration }).node],
    record.windows?.length > 1 && [
      el("h3", null, t("windows.title")),
      windowsPlot(record, { duration }).node,
    ],
  );
}

function envelope({ peaks, duration_s }, duration, loud) {
  const height = 64;
  return responsive((width) => {
    const reach = Math.max(40, width - LEFT - RIGHT) * (duration_s / duration);
    const points = peaks.map((peak, i) => [
      LEFT + (i / peaks.length) * reach,
      (peak / loud) * (height / 2 - 2),
    ]);
    const up = points.map(([x, y]) => `${x.toFixed(1)} ${(height / 2 - y).toFixed(1)}`);
    const down = points.map(([x, y]) => `${x.toFixed(1)} ${(height / 2 + y).toFixed(1)}`).reverse();
    const path = svg("path", { d: `M${[...up, ...down].join("L")}Z`, class: "envelope" });
    return svg(
      "svg",
      {
        width,
        height,
        viewBox: `0 0 ${width} ${height}`,
        role: "img",
        "aria-label": t("compare.wave", { d: length(duration_s) }),
      },
      path,
    );
  });
}

function table(pair) {
  const figures = pair.map(({ record }) => new Map(record ? rows(record) : []));
  const names = [...new Set(figures.flatMap((one) => [...one.keys()]))];
  const line = (name) => {
    const values = figures.map((one) => one.get(name) ?? "–");
    return el(
      "tr",
      { class: values[0] === values[1] ? null : "differs" },
      el("th", { scope: "row" }, name),
      values.map((value) => el("td", null, value)),
    );
  };
  return el(
    "section",
    { class: "part" },
    el("h2", null, t("compare.figures")),
    el("p", { class: "note" }, t("compare.differs")),
    el(
      "table",
      { class: "figures" },
      el(
        "thead",
        null,
        el(
          "tr",
          null,
          el("td"),
          pair.map((one) => el("th", { scope: "col", class: "name" }, el("span", null, one.name))),
        ),
      ),
      el("tbody", null, names.map(line)),
    ),
  );
}

function rows(record) {
  const weighed = support(record) !== null;
  return [
    [t("history.verdict"), t(`verdict.${record.verdict}`)],
    [t("priors.p"), percent(record.p_fake)],
    [t("file.prior"), priorPercent(record.prior)],
    [
      t("compare.ratio"),
      weighed
        ? t(record.llr < 0 ? "compare.ratio.fake" : "compare.ratio.genuine", { times: ratio(record.llr) })
        : "–",
    ],
    [t("compare.spans"), number(record.spans?.length ?? 0)],
    [t("compare.windows"), number(record.windows?.length ?? 0)],
    [t("file.model"), record.model ? `${record.model.name} ${record.model.version}` : "–"],
    [
      t("file.sound"),
      record.codec
        ? t("file.sound.value", {
            codec: record.codec,
            rate: number(record.sample_rate),
            channels: record.channels,
          })
        : "–",
    ],
    ...(record.quality ? qualityRows(record.quality) : []),
  ];
}
