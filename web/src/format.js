// Numbers, times and sizes as people read them.
import { current, t } from "./language.js";

const NBSP = "\u00a0";

/** A share of 0 to 1 in percent; never a false 0 or 100. */
export function percent(share) {
  if (share === null || share === undefined) return "–";
  const gap = current() === "ja" ? "" : NBSP;
  if (share > 0 && share < 0.005) return `<1${gap}%`;
  if (share < 1 && share >= 0.995) return `>99${gap}%`;
  return `${Math.round(100 * share)}${gap}%`;
}

/** A prior in percent, with as many digits as it was given. */
export function priorPercent(prior) {
  const gap = current() === "ja" ? "" : NBSP;
  return `${Number((100 * prior).toPrecision(3))}${gap}%`;
}

/** "about 97 in 100", in words that fit behind "of recordings like this". */
export function outOfHundred(share) {
  if (share >= 0.995) return t("share.most");
  if (share < 0.005) return t("share.least");
  return t("share.about", { n: Math.round(100 * share) });
}

/** How many times likelier one side is, of an LLR in nats; two digits count. */
export function ratio(llr) {
  const times = Math.exp(Math.abs(llr));
  if (times > 1e6) return t("ratio.million");
  return number(Number(times.toPrecision(2)));
}

/** A number with the separators of the language. */
export function number(value, digits) {
  return new Intl.NumberFormat(locale(), { maximumFractionDigits: digits ?? 3 }).format(value);
}

/** Seconds as a position in a recording: 0:04.5, 1:02:03. */
export function clock(seconds, tenths = true) {
  const total = tenths ? Math.round(10 * Math.max(0, seconds)) / 10 : Math.round(Math.max(0, seconds));
  const hours = Math.floor(total / 3600);
  const minutes = Math.floor((total % 3600) / 60);
  const rest = total % 60;
  const tail = tenths ? rest.toFixed(1).padStart(4, "0") : String(rest).padStart(2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/** A length in seconds, in words. */
export function length(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 60) return t("length.s", { s: number(Number(seconds.toFixed(1))) });
  const whole = Math.round(seconds);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  return h ? t("length.h", { h, m }) : t("length.m", { m, s });
}

/** Bytes as kB, MB or GB. */
export function size(bytes) {
  if (bytes === null || bytes === undefined) return "–";
  const units = ["B", "kB", "MB", "GB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  return `${number(Number((bytes / 1000 ** power).toPrecision(3)))}${NBSP}${units[power]}`;
}

const DAY = { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };

/** A time of the server (ISO 8601, UTC) in the reader's zone, which `exact` names. */
export function when(iso, exact = false) {
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) return "–";
  const more = exact ? { second: "2-digit", timeZoneName: "short" } : {};
  return new Intl.DateTimeFormat(locale(), { ...DAY, ...more }).format(date);
}

function locale() {
  return current() === "en" ? "en-GB" : current();
}

/** A p-value. */
export function pValue(p) {
  if (p === null || p === undefined) return "–";
  return p < 0.001 ? `<${NBSP}0.001` : number(Number(p.toPrecision(2)));
}
