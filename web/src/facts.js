// What is known of the file and of the sound in it, and what weakens the verdict.
import { announce, el, facts, section } from "./dom.js";
import { length, number, percent, priorPercent, size, when } from "./format.js";
import { t } from "./language.js";
import { warning } from "./words.js";

/** Warnings, or nothing. */
export function warnings(record) {
  if (!record.warnings?.length) return null;
  const items = record.warnings.map((text) => {
    const said = warning(text);
    return el("li", { lang: said === text ? "en" : null }, said);
  });
  return section(
    t("warnings.title"),
    { class: "part caution" },
    el("p", null, t("warnings.lead")),
    el("ul", null, items),
  );
}

/** What the gate measured. */
export function qualityFacts(record) {
  const q = record.quality;
  if (!q) return null;
  return section(t("quality.title"), null, facts(qualityRows(q)));
}

/** Pairs of term and value of a record's quality. */
export function qualityRows(q) {
  return [
    [t("quality.duration"), length(q.duration_s)],
    [t("quality.speech"), length(q.speech_s)],
    [t("quality.level"), `${number(q.level_dbfs, 0)} dBFS`],
    [t("quality.peak"), `${number(q.peak_dbfs, 1)} dBFS`],
    [t("quality.clipped"), percent(q.clipped)],
    [t("quality.silence"), percent(q.digital_silence)],
    [t("quality.bandwidth"), `${number(q.bandwidth_hz, 0)} Hz`],
  ];
}

/** What identifies the file, and what judged it. */
export function fileFacts(analysis, record) {
  const sha = analysis.sha256 ?? record?.sha256;
  const model = record?.model;
  return section(
    t("file.title"),
    null,
    facts([
      [t("file.name"), analysis.name],
      [t("file.size"), size(analysis.size)],
      ["SHA-256", sha && copyable(sha)],
      [
        t("file.sound"),
        record?.codec &&
          t("file.sound.value", {
            codec: record.codec,
            rate: number(record.sample_rate),
            channels: record.channels,
          }),
      ],
      [
        t("file.created"),
        el("time", { datetime: analysis.created, title: analysis.created }, when(analysis.created, true)),
      ],
      [t("file.model"), model && `${model.name} ${model.version} (${model.digest.slice(0, 12)}…)`],
      [t("file.prior"), record && priorPercent(record.prior)],
      [t("file.rule"), record?.rule && el("code", { lang: "en" }, record.rule)],
      [t("file.id"), el("code", null, analysis.id)],
    ]),
  );
}

function copyable(text) {
  const button = el(
    "button",
    {
      type: "button",
      class: "small",
      async onclick() {
        const copied = await copy(text);
        button.textContent = t(copied ? "copied" : "copy.failed");
        announce(button.textContent);
        setTimeout(() => (button.textContent = t("copy")), 2000);
      },
    },
    t("copy"),
  );
  return [el("code", { class: "hash" }, text), " ", button];
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // not over plain HTTP; the text can be selected
  }
}
