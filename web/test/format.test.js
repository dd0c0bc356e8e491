import assert from "node:assert/strict";
import test from "node:test";
import { clock, length, outOfHundred, percent, priorPercent, ratio, size } from "../src/format.js";
import { preferred, speak, t } from "../src/language.js";

const plain = (text) => text.replaceAll("\u00a0", " ");

test("likelihood ratios have two digits that count, whichever way they point", () => {
  assert.equal(ratio(Math.log(30)), "30");
  assert.equal(ratio(-Math.log(2431)), "2,400");
  assert.equal(ratio(Math.log(4.44)), "4.4");
  assert.equal(ratio(0), "1");
  assert.equal(ratio(50), "more than a million");
});

test("percentages are never rounded to certainty", () => {
  assert.equal(plain(percent(0.959)), "96 %");
  assert.equal(plain(percent(0.9999)), ">99 %");
  assert.equal(plain(percent(0.001)), "<1 %");
  assert.equal(plain(percent(0)), "0 %");
  assert.equal(plain(percent(1)), "100 %");
  assert.equal(percent(null), "–");
  assert.equal(plain(priorPercent(0.001)), "0.1 %");
  assert.equal(plain(priorPercent(0.07)), "7 %");
});

test("shares in words", () => {
  assert.equal(outOfHundred(0.97), "about 97 in 100");
  assert.equal(outOfHundred(0.999), "more than 99 in 100");
  assert.equal(outOfHundred(0.0001), "fewer than 1 in 100");
});

test("positions and lengths carry over at 60", () => {
  assert.equal(clock(4.5), "0:04.5");
  assert.equal(clock(59.96), "1:00.0");
  assert.equal(clock(3723, false), "1:02:03");
  assert.equal(clock(-1), "0:00.0");
  assert.equal(length(5.611), "5.6 s");
  assert.equal(length(119.7), "2 min 0 s");
  assert.equal(length(7260), "2 h 1 min");
  assert.equal(length(null), "–");
});

test("sizes", () => {
  assert.equal(plain(size(0)), "0 B");
  assert.equal(plain(size(25753)), "25.8 kB");
  assert.equal(plain(size(8 * 2 ** 30)), "8.59 GB");
});

test("the first language of the reader that the page speaks", () => {
  assert.equal(preferred(["fr-FR", "ja-JP", "en"]), "ja");
  assert.equal(preferred(["de"]), "en");
});

test("values are put in as they are, and only where they belong", () => {
  speak("ja");
  assert.equal(percent(0.5), "50%");
  assert.equal(t("home.limit", { size: "1 GB" }), "1件あたり1 GBまで。");
  speak("en");
  assert.equal(t("wave.label", { name: "{name} $& <b>" }), "Position in {name} $& <b>");
  assert.equal(t("no such key"), "no such key");
});
