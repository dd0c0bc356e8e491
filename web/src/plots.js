// P(fake) over time as inline SVG, with axes and both thresholds. Redrawn at the width there is.
import { el, replace, svg } from "./dom.js";
import { clock, percent } from "./format.js";
import { t } from "./language.js";
import { pFake, zone } from "./words.js";

/** Room left and right of what is drawn, so that waveform and plots stand under one another. */
export const LEFT = 46;
export const RIGHT = 8;
const TOP = 30;
const BOTTOM = 22;
const HEIGHT = 168;
const STEPS = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];

/** A box that draws itself anew whenever its width changes. `draw(width)` answers an SVG. */
export function responsive(draw, attributes = {}) {
  const box = el("div", { class: "plot", ...attributes });
  let width = 0;
  new ResizeObserver(() => {
    const now = Math.floor(box.clientWidth);
    if (now && now !== width) replace(box, draw((width = now)));
  }).observe(box);
  return box;
}

/** Moments to mark on an axis of time, at least 64 px apart. */
export function timeTicks(duration, width) {
  const step = STEPS.find((s) => (s / duration) * width >= 64) ?? 28800;
  return Array.from({ length: Math.floor(duration / step + 1e-9) + 1 }, (_, i) => i * step);
}

/** The highest P(fake) of each bucket of steps, as [start_s, end_s, p]; where nobody speaks is left out. */
export function steps(timeline, duration, buckets) {
  const { step_s, p_fake } = timeline;
  const each = Math.max(1, Math.ceil(p_fake.length / buckets));
  const found = [];
  for (let i = 0; i < p_fake.length; i += each) {
    const heard = p_fake.slice(i, i + each).filter((p) => p !== null);
    if (heard.length) found.push([i * step_s, Math.min(duration, (i + each) * step_s), Math.max(...heard)]);
  }
  return found;
}

/** The timeline of a record; `duration` sets the scale. */
export function timelinePlot(record, { duration, onseek } = {}) {
  const length = duration ?? record.duration_s;
  const drawn = (width) => steps(record.timeline, record.duration_s, Math.max(60, width));
  const peak = drawn(1e9).reduce((top, one) => (one[2] > top[2] ? one : top), [0, 0, 0]);
  const label = t("timeline.label", {
    p: percent(peak[2]),
    at: clock(peak[0]),
    n: record.spans?.length ?? 0,
  });
  return chart({ label, duration: length, thresholds: record.thresholds, onseek }, (x, y, width) =>
    curve(drawn(width), x, y, record.thresholds),
  );
}

/** The windows that were scored, each as a bar at its own P(fake). */
export function windowsPlot(record, { duration, onseek } = {}) {
  const bars = record.windows.map((w) => [w.start_s, w.end_s, pFake(w.llr, record.prior)]);
  const peak = bars.reduce((top, one) => (one[2] > top[2] ? one : top));
  const label = t("windows.label", { n: bars.length, p: percent(peak[2]), at: clock(peak[0]) });
  return chart(
    { label, duration: duration ?? record.duration_s, thresholds: record.thresholds, onseek },
    (x, y) =>
      bars.map(([start, end, p]) => {
        const kind = `is-${zone(p, record.thresholds)}`;
        const line = {
          x1: x(start) + 1,
          x2: Math.max(x(start) + 3, x(end) - 1),
          y1: y(p),
          y2: y(p),
          class: `bar ${kind}`,
        };
        return svg("line", line, svg("title", null, `${clock(start)}–${clock(end)}: ${percent(p)}`));
      }),
  );
}

function curve(found, x, y, thresholds) {
  const area = found.map(([start, end, p]) => `M${x(start)} ${y(0)}V${y(p)}H${x(end)}V${y(0)}Z`).join("");
  const high = found.filter(([, , p]) => p >= thresholds.fake);
  const over = high.map(([start, end, p]) => `M${x(start)} ${y(0)}V${y(p)}H${x(end)}V${y(0)}Z`).join("");
  let line = "";
  let last = -1;
  for (const [start, end, p] of found) {
    line += `${Math.abs(start - last) < 1e-6 ? "V" : `M${x(start)} `}${y(p)}H${x(end)}`;
    last = end;
  }
  return [
    svg("path", { d: area, class: "area" }),
    over && svg("path", { d: over, class: "area-fake", fill: "url(#hatch)" }),
    svg("path", { d: line, class: "curve" }),
  ];
}

function chart({ label, duration, thresholds, onseek }, body) {
  let cursor = null;
  let at = null;
  let scale = null;
  const node = responsive((width) => {
    const inner = Math.max(40, width - LEFT - RIGHT);
    const x = (s) => round(LEFT + (Math.min(s, duration) / duration) * inner);
    const y = (p) => round(TOP + (1 - p) * (HEIGHT - TOP - BOTTOM));
    scale = x;
    cursor = svg("line", { y1: TOP, y2: HEIGHT - BOTTOM, class: "cursor", visibility: "hidden" });
    if (at !== null) place();
    const seek = (event) => {
      const left = event.currentTarget.getBoundingClientRect().left;
      onseek(Math.min(duration, Math.max(0, ((event.clientX - left - LEFT) / inner) * duration)));
    };
    return svg(
      "svg",
      {
        width,
        height: HEIGHT,
        viewBox: `0 0 ${width} ${HEIGHT}`,
        role: "img",
        "aria-label": label,
        class: onseek ? "seekable" : null,
        onclick: onseek ? seek : null,
      },
      axes(x, y, width, duration, inner),
      body(x, y, inner),
      limits(thresholds, y, width),
      key(thresholds, width),
      cursor,
    );
  });
  function place() {
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, scale(at));
    cursor.setAttribute("visibility", "visible");
  }
  return {
    node,
    cursor(seconds) {
      at = seconds;
      if (cursor) place();
    },
  };
}

function axes(x, y, width, duration, inner) {
  const rows = [0, 0.5, 1].map((p) => [
    svg("line", { x1: LEFT, x2: width - RIGHT, y1: y(p), y2: y(p), class: "grid" }),
    svg("text", { x: LEFT - 6, y: y(p) + 4, class: "tick end" }, percent(p)),
  ]);
  const columns = timeTicks(duration, inner).map((s) => [
    svg("line", { x1: x(s), x2: x(s), y1: y(0), y2: y(0) + 4, class: "axis" }),
    svg(
      "text",
      { x: x(s), y: HEIGHT - 5, class: `tick ${x(s) > width - 24 ? "end" : "middle"}` },
      clock(s, s % 1 !== 0),
    ),
  ]);
  return svg("g", { "aria-hidden": "true" }, rows, columns);
}

function limits(thresholds, y, width) {
  const line = (name) =>
    svg("line", {
      x1: LEFT,
      x2: width - RIGHT,
      y1: y(thresholds[name]),
      y2: y(thresholds[name]),
      class: `limit is-${name}`,
    });
  return svg("g", { "aria-hidden": "true" }, line("fake"), line("genuine"));
}

// What the two lines mean, above the plot, where no curve runs through the words.
function key(thresholds, width) {
  const narrow = width < 420;
  const [first, second] = narrow ? [0, width * 0.48] : [LEFT, LEFT + 180];
  const item = (name, left) => [
    svg("line", { x1: left, x2: left + 18, y1: 10, y2: 10, class: `limit is-${name}` }),
    svg(
      "text",
      { x: left + 23, y: 14, class: `tick start is-${name}` },
      t(`limit.${name}`, { p: percent(thresholds[name]) }),
    ),
  ];
  return svg("g", { "aria-hidden": "true" }, item("fake", first), item("genuine", second));
}

function round(value) {
  return Math.round(10 * value) / 10;
}
