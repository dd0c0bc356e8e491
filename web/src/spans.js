// Where it sounds fake, as a list: buttons to listen where there is audio, plain words where there is none.
import { el, replace } from "./dom.js";
import { clock, percent } from "./format.js";
import { t } from "./language.js";

const FIRST = 12;

/** The list; `play(start_s, end_s)` sounds a stretch. `mute()` takes the buttons away. */
export function spanList(record, play) {
  const spans = record.spans ?? [];
  const node = el("div", { class: "spans" });
  let many = FIRST;
  let audible = true;

  function item(span, key, n) {
    const values = { n, start: clock(span.start_s), end: clock(span.end_s), p: percent(span.p_fake) };
    const onclick = () => play(span.start_s, span.end_s);
    const button = () => el("button", { type: "button", class: "span", onclick }, t(key, values));
    return el("li", null, audible ? button() : t(key, values));
  }

  function all() {
    many = spans.length;
    draw();
  }

  function draw() {
    const shown = spans.slice(0, many).map((span, i) => item(span, "span.title", i + 1));
    const rest = spans.length - shown.length;
    const more = el("button", { type: "button", class: "small", onclick: all }, t("spans.more", { n: rest }));
    replace(
      node,
      el("h3", null, t("spans.title")),
      shown.length ? el("ul", { class: "plain chips" }, shown) : el("p", { class: "note" }, t("spans.none")),
      rest > 0 && more,
      record.worst && el("ul", { class: "plain chips" }, item(record.worst, "spans.worst")),
    );
  }

  draw();
  return {
    node,
    mute() {
      audible = false;
      draw();
    },
  };
}
