// Start: what the server can do, the header, and the view of the address.
import { analysis } from "./analysis.js";
import { getAbout, hasKey, onKeyWanted, useKey } from "./api.js";
import { compare } from "./compare.js";
import { askKey } from "./dialogs.js";
import { add, announce, el, replace } from "./dom.js";
import { drift } from "./drift.js";
import { historyView } from "./history.js";
import { home } from "./home.js";
import { knowledge } from "./knowledge.js";
import { LANGUAGES, current, preferred, speak, t } from "./language.js";
import { hush } from "./player.js";
import { trouble } from "./problems.js";
import { link, parse, route } from "./router.js";
import { followSystem, isDark, toggleTheme } from "./theme.js";

const VIEWS = { home, analyses: analysis, history: historyView, knowledge, drift, compare };
const TABS = ["home", "history", "knowledge", "drift"];
let about = null;
let redraw = () => {};
let asking = null;

/** Ask for a key until one holds or the reader gives up; several who ask at once share one dialog. */
function wantKey() {
  asking ??= askKey(attempt).finally(() => (asking = null));
  return asking.then(Boolean);
}

async function attempt(key) {
  useKey(key);
  const answer = await getAbout().catch((problem) =>
    problem.status === 401 ? { role: null } : Promise.reject(problem),
  );
  if (answer.auth && !answer.role) useKey(null);
  else if (answer.role) about = answer;
  return Boolean(answer.role);
}

function header() {
  const here = parse(location.hash).view;
  const tabs = TABS.filter((tab) => tab !== "drift" || about?.drift !== false).filter(
    (tab) => tab !== "knowledge" || about?.knowledge !== false,
  );
  const tab = (name) =>
    el(
      "li",
      null,
      el("a", { href: link(name), "aria-current": here === name ? "page" : null }, t(`nav.${name}`)),
    );
  const theme = el(
    "button",
    {
      type: "button",
      class: "small",
      "aria-pressed": String(isDark()),
      onclick: () => {
        toggleTheme();
        theme.setAttribute("aria-pressed", String(isDark()));
      },
    },
    t("theme.dark"),
  );
  const languages = LANGUAGES.map((code) =>
    el(
      "button",
      {
        type: "button",
        class: "small",
        lang: code,
        "aria-pressed": String(code === current()),
        onclick: () => switchTo(code),
      },
      t(`language.${code}`),
    ),
  );
  const key =
    about?.auth &&
    el(
      "button",
      { type: "button", class: "small", onclick: changeKey },
      t(hasKey() ? "key.forget" : "key.give"),
    );
  replace(
    document.getElementById("header"),
    el("a", { class: "brand", href: link("home") }, "earwitness"),
    el("nav", { "aria-label": t("nav") }, el("ul", null, tabs.map(tab))),
    el(
      "div",
      { class: "switches" },
      el("span", { role: "group", "aria-label": t("language") }, languages),
      theme,
      key,
    ),
  );
}

function footer() {
  const version = about ? `earwitness ${about.version}` : "earwitness";
  replace(
    document.getElementById("footer"),
    el("p", null, t("foot.limits")),
    el(
      "p",
      { class: "note" },
      version,
      " · ",
      el("a", { href: "./assets/licences.txt" }, t("foot.licences")),
    ),
  );
  const skip = document.getElementById("skip");
  skip.textContent = t("skip");
}

function switchTo(code) {
  speak(code, true);
  redraw();
  announce(t(`language.${code}`));
  document.querySelector(`.switches [lang="${code}"]`)?.focus();
}

async function changeKey() {
  if (hasKey()) {
    useKey(null);
    about = null;
  }
  redraw();
}

async function show(found, signal, first) {
  const main = document.getElementById("main");
  hush();
  replace(main);
  try {
    about ??= await getAbout();
    if (about.auth && !about.role) await wantKey();
    if (signal.aborted) return;
    header();
    footer();
    if (about.auth && !about.role)
      return replace(main, el("h1", null, t("key.title")), el("p", null, t("key.needed")));
    const view = Object.hasOwn(VIEWS, found.view) ? VIEWS[found.view] : missing;
    document.title = title(found.view);
    const part = el("div", { class: `view ${found.view}` });
    add(main, part);
    if (!first) main.focus({ preventScroll: true });
    if (!first) scrollTo(0, 0);
    await view(part, { ...found, about, signal });
  } catch (problem) {
    if (signal.aborted) return;
    header();
    footer();
    add(
      main,
      trouble(problem),
      el("p", null, el("button", { type: "button", onclick: () => redraw() }, t("again"))),
    );
  }
}

function missing(main) {
  add(
    main,
    el("h1", null, t("missing.title")),
    el("p", null, el("a", { href: link("home") }, t("nav.home"))),
  );
}

function title(view) {
  const names = { compare: "compare.title", analyses: "nav.history" };
  const name = names[view] ?? `nav.${TABS.includes(view) ? view : "home"}`;
  return `${t(name)} – earwitness`;
}

speak(preferred());
followSystem();
onKeyWanted(wantKey);
document.getElementById("skip").addEventListener("click", (event) => {
  event.preventDefault();
  document.getElementById("main").focus();
});
redraw = route(show);
