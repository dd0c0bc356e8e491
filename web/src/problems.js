// What went wrong, and what to do about it.
import { el } from "./dom.js";
import { known, t } from "./language.js";

/** A problem in the page's language; what the server says where the page has no words of its own. */
export function inWords(problem) {
  return (
    known(`problem.${problem.code}`) ??
    known(`error.${problem.code}`) ??
    problem.message ??
    t("problem.unknown")
  );
}

/** Why something cannot be heard; what a browser says of its own players helps nobody. */
export function unplayable(problem) {
  return typeof problem.code === "string" ? inWords(problem) : t("problem.not-playable");
}

/** A problem as a paragraph that is read out at once. */
export function trouble(problem) {
  return el("p", { class: "trouble", role: "alert" }, inWords(problem));
}
