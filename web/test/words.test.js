import assert from "node:assert/strict";
import test from "node:test";
import { strings } from "../src/strings.js";
import { explain, pFake, strength, support, suspect, verdictName, warning, zone } from "../src/words.js";

const thresholds = { fake: 0.8721, genuine: 0.0918 };
const base = { calibrated: true, prior: 0.5, thresholds, windows: [], rule: "", error: null };

test("P(fake) is what the records say", () => {
  // llr and p_fake of samples/, as scanned
  for (const [llr, p] of [
    [4.202617, 0.014736],
    [-3.15814, 0.959228],
    [0.550055, 0.365852],
  ]) {
    assert.ok(Math.abs(pFake(llr, 0.5) - p) < 1e-5);
  }
  assert.ok(Math.abs(pFake(0, 0.01) - 0.01) < 1e-12);
});

test("the verbal scale changes where it says", () => {
  const steps = [
    [1, "none"],
    [1.99, "none"],
    [2, "weak"],
    [9.9, "weak"],
    [10.01, "moderate"],
    [100.1, "moderately-strong"],
    [1000.1, "strong"],
    [10001, "very"],
  ];
  for (const [times, step] of steps) {
    assert.equal(strength(Math.log(times) + 1e-12), step, String(times));
    assert.equal(strength(-Math.log(times) - 1e-12), step, String(times));
  }
});

test("every step has words for both sides", () => {
  for (const step of ["weak", "moderate", "moderately-strong", "strong", "very"]) {
    for (const side of ["fake", "genuine"]) assert.ok(strings[`support.${step}.${side}`], step + side);
  }
});

test("negative LLRs speak for fake", () => {
  assert.match(support({ ...base, llr: -3.4 }).line, /30 times more likely if the voice is fake/);
  assert.match(support({ ...base, llr: 3.4 }).line, /30 times more likely if the voice is genuine/);
  assert.equal(support({ ...base, llr: null }), null);
  assert.equal(support({ ...base, llr: 3, calibrated: false }), null);
});

test("zones include their thresholds, as verdicts do", () => {
  assert.equal(zone(0.8721, thresholds), "fake");
  assert.equal(zone(0.0918, thresholds), "genuine");
  assert.equal(zone(0.5, thresholds), "uncertain");
});

test("a verdict is explained with its prior and what it does not mean", () => {
  const said = explain({ ...base, verdict: "fake", p_fake: 0.97, llr: -3.5 });
  assert.equal(said.heading, "Sounds synthetic");
  assert.match(said.lines[0], /prior of 50\s%, about 97 in 100 are fake/);
  assert.match(said.limits, /does not say who made it/);
  for (const verdict of ["fake", "genuine", "uncertain"]) {
    const loose = explain({ ...base, verdict, p_fake: 0.5, llr: 0, calibrated: false });
    assert.match(loose.lines[0], /not calibrated/);
  }
});

test("uncertain says whether it is the whole or one stretch of it", () => {
  const windows = [
    { start_s: 0, end_s: 12, llr: 5 },
    { start_s: 11, end_s: 23, llr: -4 },
  ];
  const spliced = { ...base, verdict: "uncertain", p_fake: 0.05, llr: 3, windows };
  assert.equal(suspect(spliced), windows[1]);
  assert.match(explain(spliced).lines.at(-1), /0:11 to 0:23/);
  assert.equal(suspect({ ...spliced, p_fake: 0.5 }), null);
  assert.match(explain({ ...spliced, p_fake: 0.5 }).lines.at(-1), /too little/);
});

test("no speech and errors say why, also where the reason is new", () => {
  const silent = { ...base, verdict: "no-speech", p_fake: null, llr: null };
  assert.match(explain({ ...silent, rule: "silence: silent (peak -90 dBFS)" }).lines[0], /silent/);
  assert.match(explain({ ...silent, rule: "too-short: 0.2 s" }).lines[0], /too short/);
  assert.match(explain({ ...silent, rule: "no-speech: 0.00 s" }).lines[0], /half a second/);
  assert.match(
    explain({ ...silent, verdict: "error", error: { code: "parked", message: "" } }).lines[0],
    /three times/,
  );
  assert.equal(
    explain({ ...silent, verdict: "error", error: { code: "brand-new", message: "" } }).lines[0],
    "Something unexpected happened.",
  );
});

test("names of what nobody foresaw are shown as they are, also those of Object's own", () => {
  assert.equal(verdictName("constructor"), "constructor");
  assert.equal(warning("something else"), "something else");
  assert.match(warning("clipped: 2.5 % of samples at the rail"), /2\.5/);
  assert.match(warning("damaged: 3 of 90 packets cannot be decoded"), /3 of 90/);
});
