// What a record says, in words. Pure: strings in the page's language, no elements.
import { clock, outOfHundred, priorPercent, ratio } from "./format.js";
import { known, t } from "./language.js";

// Likelihood ratios from which each step of the verbal scale holds.
const SCALE = [
  [10000, "very"],
  [1000, "strong"],
  [100, "moderately-strong"],
  [10, "moderate"],
  [2, "weak"],
];
const WARNINGS = [
  [/^only ([\d.]+) s of speech/, "warning.short"],
  [/^clipped: ([\d.]+) %/, "warning.clipped"],
  [/^narrow band: nothing above ([\d.]+) Hz/, "warning.narrow"],
  [/^very quiet: speech at (-?[\d.]+) dBFS/, "warning.quiet"],
  [/^damaged: (\d+ of \d+) packets/, "warning.damaged"],
  [/^([\d.]+) s are missing inside/, "warning.missing"],
];

/** P(fake) of an LLR (nats, higher for bona fide) at a prior. */
export function pFake(llr, prior) {
  return 1 / (1 + Math.exp(llr - Math.log(prior / (1 - prior))));
}

/** The step of the verbal scale that an LLR reaches: "none" to "very". */
export function strength(llr) {
  const times = Math.exp(Math.abs(llr));
  return SCALE.find(([from]) => times >= from)?.[1] ?? "none";
}

/** Which verdict a P(fake) by itself would get. */
export function zone(p, thresholds) {
  if (p >= thresholds.fake) return "fake";
  return p > thresholds.genuine ? "uncertain" : "genuine";
}

/** The name of a verdict. */
export function verdictName(verdict) {
  return known(`verdict.${verdict}`) ?? verdict;
}

/** What was found: heading, sentences that explain it, what it does not mean. */
export function explain(record) {
  const { verdict } = record;
  if (verdict === "error")
    return { heading: t("says.error"), lines: errorLines(record.error), limits: t("limits.error") };
  if (verdict === "no-speech") {
    const kind = /^(too-short|silence)/.exec(record.rule)?.[1] ?? "no-speech";
    return { heading: t("says.no-speech"), lines: [t(`why.${kind}`)], limits: t("limits.no-speech") };
  }
  return {
    heading: t(`says.${verdict}`),
    lines: [...chances(record), ...doubts(record)],
    limits: t(`limits.${verdict}`),
  };
}

function chances(record) {
  if (!record.calibrated) return [t("not-calibrated")];
  return [t("chances", { prior: priorPercent(record.prior), share: outOfHundred(record.p_fake) })];
}

function doubts(record) {
  if (record.verdict !== "uncertain") return [];
  const worst = suspect(record);
  if (!worst) return [t("uncertain.between")];
  return [t("uncertain.window", { start: clock(worst.start_s, false), end: clock(worst.end_s, false) })];
}

/** The window that keeps a recording from being called genuine, or null. */
export function suspect(record) {
  if (record.verdict !== "uncertain" || record.p_fake > record.thresholds.genuine || !record.windows?.length)
    return null;
  return record.windows.reduce((worst, window) => (window.llr < worst.llr ? window : worst));
}

function errorLines(error) {
  if (!error) return [t("error.unknown")];
  return [known(`error.${error.code}`) ?? t("error.unknown")];
}

/** How strong the evidence is, in words and as a ratio; null where there is none to weigh. */
export function support(record) {
  if (record.llr === null || record.llr === undefined || !record.calibrated) return null;
  const side = record.llr < 0 ? "fake" : "genuine";
  const step = strength(record.llr);
  if (step === "none")
    return { step, heading: t("support.none"), line: t("support.none.line", { times: ratio(record.llr) }) };
  return {
    step,
    heading: t(`support.${step}.${side}`),
    line: t(`support.line.${side}`, { times: ratio(record.llr) }),
  };
}

/** A warning of the record in the page's language, or as it stands. */
export function warning(text) {
  for (const [pattern, key] of WARNINGS) {
    const found = pattern.exec(text);
    if (found) return t(key, { n: found[1] });
  }
  return text;
}
