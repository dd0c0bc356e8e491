// Making elements. Text goes in as text nodes: nothing of a server or a file name is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element; `on…` attributes are listeners, null and false ones are left out. */
export function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  add(node, ...children);
  return node;
}

/** Append children, leaving out those that are null or false. */
export function add(node, ...children) {
  node.append(...children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

/** Put these children in the place of all others. */
export function replace(node, ...children) {
  node.replaceChildren();
  return add(node, ...children);
}

/** Tell those who listen to the page instead of looking at it. */
export function announce(text) {
  document.getElementById("live").textContent = text;
}

/** A section with a heading. */
export function section(title, attributes, ...children) {
  return el("section", { class: "part", ...attributes }, el("h2", null, title), ...children);
}

/** A list of terms with what holds for them; pairs without a value are left out. */
export function facts(pairs) {
  const rows = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return el(
    "dl",
    { class: "facts" },
    rows.map(([term, value]) => el("div", null, el("dt", null, term), el("dd", null, value))),
  );
}

/** Wait, unless the signal ends it first. */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        reject(signal.reason);
      },
      { once: true },
    );
  });
}
