// Marks of verdicts: a shape and a word for each, so that none depends on colour.
import { el, svg } from "./dom.js";
import { verdictName } from "./words.js";

const SHAPES = {
  fake: () => svg("path", { d: "M8 1 15 8 8 15 1 8Z", fill: "currentColor" }),
  genuine: () => svg("circle", { cx: 8, cy: 8, r: 6.5, fill: "currentColor" }),
  uncertain: () => [
    svg("circle", { cx: 8, cy: 8, r: 6, fill: "none", stroke: "currentColor", "stroke-width": 2 }),
    svg("path", { d: "M8 2a6 6 0 0 1 0 12Z", fill: "currentColor" }),
  ],
  "no-speech": () =>
    svg("circle", { cx: 8, cy: 8, r: 6, fill: "none", stroke: "currentColor", "stroke-width": 2 }),
  error: () =>
    svg("path", { d: "M3 3 13 13M13 3 3 13", fill: "none", stroke: "currentColor", "stroke-width": 2.6 }),
};

/** The shape of a verdict; an unknown one gets that of "no-speech". */
export function shape(verdict) {
  const draw = SHAPES[verdict] ?? SHAPES["no-speech"];
  return svg(
    "svg",
    { viewBox: "0 0 16 16", class: "shape", "aria-hidden": "true", focusable: "false" },
    draw(),
  );
}

/** Shape and word of a verdict or a label. */
export function badge(verdict, word = verdictName(verdict)) {
  return el("span", { class: `badge ${kind(verdict)}` }, shape(verdict), el("span", null, word));
}

/** The class that colours a verdict. */
export function kind(verdict) {
  return Object.hasOwn(SHAPES, verdict) ? `is-${verdict}` : "is-no-speech";
}
