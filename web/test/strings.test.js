import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import test from "node:test";
import { strings } from "../src/strings.js";

const folder = new URL("../src/", import.meta.url);
const sources = readdirSync(folder).filter((name) => name.endsWith(".js") && name !== "strings.js");
const code = sources.map((name) => readFileSync(new URL(name, folder), "utf8")).join("\n");
const places = (text) => [...new Set(text.match(/\{\w+\}/g))].sort();

test("every string is there in both languages, with the same places to fill", () => {
  for (const [key, pair] of Object.entries(strings)) {
    assert.equal(pair.length, 2, key);
    const [english, japanese] = pair;
    assert.ok(english.length, key);
    assert.ok(japanese.length || key === "space", key);
    assert.deepEqual(places(english), places(japanese), key);
  }
});

test("English strings hold no Japanese, and Japanese ones of some length hold some", () => {
  const script = /[\u3040-\u30ff\u4e00-\u9fff]/;
  for (const [key, [english, japanese]] of Object.entries(strings)) {
    if (key.startsWith("language.")) continue;
    assert.doesNotMatch(english, script, key);
    if (japanese.replace(/\{\w+\}/g, "").length > 3) assert.match(japanese, script, key);
  }
});

test("every key that the code names is a string", () => {
  const named = [...code.matchAll(/\b(?:t|known)\("([^"]+)"/g)].map((found) => found[1]);
  assert.ok(named.length > 150, `${named.length} keys found`);
  for (const key of named) assert.ok(Object.hasOwn(strings, key), key);
});

test("no string is left that nothing shows", () => {
  const quoted = new Set([...code.matchAll(/"([a-z][\w.-]*)"/gi)].map((found) => found[1]));
  const built = [...code.matchAll(/`([\w-]+\.(?:[\w.-]|\$\{\w[^}]*\})+)`/g)].map(([, made]) => {
    const parts = made.split(/\$\{[^}]*\}/).map((part) => part.replaceAll(".", "\\."));
    return new RegExp(`^${parts.join("[\\w.-]+")}$`);
  });
  const used = (key) => quoted.has(key) || built.some((pattern) => pattern.test(key));
  assert.deepEqual(
    Object.keys(strings).filter((key) => !used(key)),
    [],
  );
});
