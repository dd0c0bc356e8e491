import assert from "node:assert/strict";
import test from "node:test";
import { steps, timeTicks } from "../src/plots.js";
import { link, parse } from "../src/router.js";

test("addresses lead back to what they were made of", () => {
  for (const [view, ids, query] of [
    ["home", [], {}],
    ["analyses", ["01a/b?c"], {}],
    ["compare", ["x", "y"], {}],
    ["history", [], { q: "ä & ?" }],
  ]) {
    assert.deepEqual(parse(link(view, ids, query)), { view, ids, query });
  }
  assert.equal(parse("").view, "home");
  assert.equal(parse("#/analyses/%E0%A4%A").ids[0], "%E0%A4%A");
});

test("ticks of time keep their distance and begin at 0", () => {
  for (const [duration, width] of [
    [3, 300],
    [5.6, 900],
    [3600, 300],
    [86400, 250],
  ]) {
    const ticks = timeTicks(duration, width);
    assert.equal(ticks[0], 0);
    assert.ok(ticks.at(-1) <= duration);
    if (ticks.length > 1) assert.ok(((ticks[1] - ticks[0]) / duration) * width >= 64);
  }
});

test("long timelines are thinned without losing a peak; silence leaves gaps", () => {
  const p_fake = Array.from({ length: 10_000 }, (_, i) => (i === 7777 ? 0.99 : i < 100 ? null : 0.1));
  const found = steps({ step_s: 0.5, p_fake }, 4999.7, 300);
  assert.ok(found.length <= 300);
  assert.equal(Math.max(...found.map((one) => one[2])), 0.99);
  const peak = found.find((one) => one[2] === 0.99);
  assert.ok(peak[0] <= 7777 * 0.5 && peak[1] > 7777 * 0.5);
  assert.ok(found[0][0] > 50 - 5000 / 294); // the bucket that holds second 50
  assert.equal(found.at(-1)[1], 4999.7);
});
