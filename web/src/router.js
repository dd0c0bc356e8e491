// Views by the hash of the address: #/analyses/ID, #/history?q=… A view is left through its signal.

/** The parts and the query of a hash; ids are decoded, an empty one is the first page. */
export function parse(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(decode);
  return {
    view: parts[0] ?? "home",
    ids: parts.slice(1),
    query: Object.fromEntries(new URLSearchParams(query)),
  };
}

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The hash of a view. */
export function link(view, ids = [], query = {}) {
  const kept = Object.entries(query).filter(([, value]) => value);
  const tail = kept.length ? `?${new URLSearchParams(kept)}` : "";
  return `#/${[view, ...ids]
    .filter((part) => part !== "home")
    .map(encodeURIComponent)
    .join("/")}${tail}`;
}

/** Note a query in the address without going anywhere. */
export function keepQuery(view, query) {
  history.replaceState(null, "", link(view, [], query));
}

/** Show views as the hash changes; `show(route, signal, first)` draws one. Answers what draws it again. */
export function route(show) {
  let leaving = new AbortController();
  const go = (first) => {
    leaving.abort();
    leaving = new AbortController();
    show(parse(location.hash), leaving.signal, first);
  };
  addEventListener("hashchange", () => go(false));
  go(true);
  return () => go(true);
}
