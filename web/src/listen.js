// Listening to an analysis: waveform, where it sounds fake, timeline and windows on one scale of time.
import { analysisPath, get, source } from "./api.js";
import { add, el, replace, section } from "./dom.js";
import { clock } from "./format.js";
import { t } from "./language.js";
import { timelinePlot, windowsPlot } from "./plots.js";
import { unplayable } from "./problems.js";
import { spanList } from "./spans.js";
import { fileOf } from "./uploads.js";
import { peaksOf, waveform } from "./wave.js";

const DECODED_HERE = 50e6; // bytes; more would take the browser too much memory

/** The section; draws the waveform when its peaks are there. */
export function listening(analysis, record, signal) {
  let wave = null;
  const stage = el("div", null, el("p", { class: "note stage" }, t("wave.loading")));
  const trouble = el("p", { class: "trouble", role: "status" });
  let asked = null; // the stretch that was asked for before there was anything to play
  const play = (start, end) => (wave ? wave.span(start, end) : (asked = [start, end]));
  const spans = record.windows?.length ? spanList(record, play) : null;
  const box = section(t("listen.title"), { class: "part wide" }, stage, trouble, spans?.node);
  const plots = addPlots(box, record, (seconds) => wave?.seek(seconds));

  sound(analysis, signal)
    .then((found) => {
      if (signal.aborted) return;
      wave = waveform({
        ...found,
        name: analysis.name,
        spans: record.spans ?? [],
        signal,
        ontime: (seconds) => plots.forEach((one) => one.cursor(seconds)),
        ontrouble: (problem) => (trouble.textContent = unplayable(problem)),
      });
      replace(stage, wave.node);
      if (asked) wave.span(...asked);
    })
    .catch((problem) => {
      if (signal.aborted) return;
      replace(stage, el("p", { class: "note" }, unplayable(problem)));
      spans?.mute();
    });
  return box;
}

function addPlots(box, record, onseek) {
  const plots = [];
  const put = (title, plot) => {
    plots.push(plot);
    add(box, el("h3", null, title), plot.node);
  };
  const windows = record.windows ?? [];
  if (record.timeline?.p_fake?.some((p) => p !== null)) {
    put(t("timeline.title"), timelinePlot(record, { onseek }));
    add(box, el("p", { class: "note" }, t("timeline.note")));
  }
  if (windows.length > 1) put(t("windows.title"), windowsPlot(record, { onseek }));
  if (windows.length === 1) {
    const ends = { start: clock(windows[0].start_s), end: clock(windows[0].end_s) };
    add(box, el("p", { class: "note" }, t("windows.one", ends)));
  }
  return plots;
}

// The server's copy; where it keeps none, the file that was dropped here just now.
async function sound(analysis, signal) {
  if (analysis.audio) {
    const { duration_s, peaks } = await get(analysisPath(analysis.id, "/peaks"), {}, signal);
    const address = () => source(analysisPath(analysis.id, "/audio.wav"), signal);
    return { peaks, duration: duration_s, address };
  }
  const file = fileOf(analysis.id);
  if (!file || file.size > DECODED_HERE) throw Object.assign(new Error(), { code: "not-kept" });
  const { duration_s, peaks } = await peaksOf(file);
  const address = async () => {
    const url = URL.createObjectURL(file);
    return { url, release: () => URL.revokeObjectURL(url) };
  };
  return { peaks, duration: duration_s, address };
}
