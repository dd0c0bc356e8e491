// The waveform: see it, play it, jump in it by mouse and by keys.
import WaveSurfer from "wavesurfer.js";
import Regions from "wavesurfer.js/dist/plugins/regions.js";
import { el } from "./dom.js";
import { clock, percent } from "./format.js";
import { t } from "./language.js";
import { hush } from "./player.js";
import { colour } from "./theme.js";

const BINS = 1200;
const MOST_REGIONS = 200;
const SPEEDS = [0.5, 0.75, 1, 1.25];

/** Peaks of a file as the server makes them, decoded by the browser. */
export async function peaksOf(file) {
  const sound = await new OfflineAudioContext(1, 1, 16000).decodeAudioData(await file.arrayBuffer());
  const samples = sound.getChannelData(0);
  const each = Math.max(1, Math.ceil(samples.length / BINS));
  const peaks = [];
  for (let i = 0; i < samples.length; i += each) {
    let top = 0;
    for (let k = i; k < Math.min(samples.length, i + each); k++) top = Math.max(top, Math.abs(samples[k]));
    peaks.push(Math.min(1, top));
  }
  return { duration_s: sound.duration, peaks };
}

/** Waveform with controls. `address()` answers where the audio lies; it is asked once, at the first play. */
export function waveform({ name, peaks, duration, spans, address, signal, ontime, ontrouble }) {
  const audio = new Audio();
  audio.preload = "metadata";
  const box = el("div", {
    class: "wave",
    tabindex: 0,
    role: "slider",
    "aria-label": t("wave.label", { name }),
    "aria-valuemin": 0,
    "aria-valuemax": Math.round(duration),
    "aria-valuenow": 0,
    "aria-valuetext": clock(0),
    onkeydown: keys,
  });
  const regions = Regions.create();
  const wave = WaveSurfer.create({
    container: box,
    height: 96,
    media: audio,
    peaks: [peaks],
    duration,
    normalize: true,
    plugins: [regions],
    barWidth: 2,
    barGap: 1,
    barMinHeight: 1,
    cursorWidth: 2,
    dragToSeek: false,
    hideScrollbar: true,
    ...colours(),
  });
  const button = el(
    "button",
    {
      type: "button",
      class: "main",
      onclick: () => attempt(() => (wave.isPlaying() ? wave.pause() : wave.play())),
    },
    t("play"),
  );
  const position = el("span", { class: "figure" }, `${clock(0)} / ${clock(duration)}`);
  const speed = el(
    "select",
    { "aria-label": t("speed"), onchange: () => wave.setPlaybackRate(Number(speed.value)) },
    SPEEDS.map((s) => el("option", { value: s, selected: s === 1 }, `${s}×`)),
  );
  let loading = null;
  let release = null;
  let wanted = null; // where a jump under way will end; jumps that follow start there
  audio.addEventListener("seeked", () => (wanted = null));

  wave.on("ready", mark);
  wave.on("play", () => (button.textContent = t("pause")));
  wave.on("pause", () => (button.textContent = t("play")));
  wave.on("finish", () => (button.textContent = t("play")));
  wave.on("timeupdate", moved);
  wave.on("seeking", moved);
  regions.on("region-clicked", (region, event) => {
    event.stopPropagation();
    span(region.start, region.end);
  });
  const themed = () => {
    wave.setOptions(colours());
    for (const region of regions.getRegions()) paint(region);
  };
  document.addEventListener("themed", themed);
  signal.addEventListener("abort", () => {
    document.removeEventListener("themed", themed);
    audio.pause();
    wave.destroy();
    release?.();
  });

  function mark() {
    regions.clearRegions();
    for (const [i, one] of spans.slice(0, MOST_REGIONS).entries()) {
      const title = t("span.title", {
        n: i + 1,
        start: clock(one.start_s),
        end: clock(one.end_s),
        p: percent(one.p_fake),
      });
      // A number where there is room for one; the list below has them all.
      const room = ((one.end_s - one.start_s) / duration) * box.clientWidth > 22;
      const content = el(
        "span",
        { style: "padding:0 .3em;font:600 12px system-ui", title },
        room ? String(i + 1) : "",
      );
      paint(
        regions.addRegion({
          id: String(one.p_fake),
          start: one.start_s,
          end: one.end_s,
          drag: false,
          resize: false,
          content,
          color: "transparent",
        }),
      );
    }
  }

  // Hatched, and the denser the higher P(fake) is.
  function paint(region) {
    if (!region.element) return;
    const ink = colour("fake");
    const share = Math.round(25 + 50 * Math.max(0, (Number(region.id) - 0.5) * 2));
    const stripe = `color-mix(in srgb, ${ink} ${share}%, transparent)`;
    const wash = `color-mix(in srgb, ${ink} ${Math.round(share / 4)}%, transparent)`;
    const stripes = `repeating-linear-gradient(135deg, ${stripe} 0 2px, transparent 2px 7px)`;
    region.element.style.background = `${stripes}, ${wash}`;
    region.element.style.borderInline = `2px solid ${ink}`;
    region.element.style.boxSizing = "border-box";
    region.element.style.cursor = "pointer";
    if (!region.content) return;
    region.content.style.color = ink;
    if (region.content.textContent) region.content.style.background = colour("panel");
  }

  function moved(seconds) {
    const now = Math.min(duration, wanted ?? seconds);
    position.textContent = `${clock(now)} / ${clock(duration)}`;
    box.setAttribute("aria-valuenow", Math.round(now));
    box.setAttribute("aria-valuetext", clock(now));
    ontime?.(now);
  }

  async function load() {
    const found = await address();
    release = found.release;
    if (signal.aborted) return release?.();
    audio.src = found.url;
  }

  async function attempt(act) {
    try {
      hush();
      await (loading ??= load());
      await act();
    } catch (problem) {
      if (!audio.src) loading = null;
      if (!signal.aborted && problem.name !== "AbortError") ontrouble?.(problem);
    }
  }

  function span(start, end) {
    wanted = null;
    return attempt(() => wave.play(start, end));
  }

  function seek(seconds) {
    wanted = Math.min(duration, Math.max(0, seconds));
    return attempt(() => wave.setTime(wanted ?? seconds));
  }

  function keys(event) {
    const step = event.shiftKey ? 10 : 1;
    const moves = {
      ArrowLeft: -step,
      ArrowDown: -step,
      ArrowRight: step,
      ArrowUp: step,
      PageDown: -10,
      PageUp: 10,
    };
    if (event.key === " " || event.key === "Enter") button.click();
    else if (event.key in moves) seek((wanted ?? wave.getCurrentTime()) + moves[event.key]);
    else if (event.key === "Home") seek(0);
    else if (event.key === "End") seek(duration);
    else return;
    event.preventDefault();
  }

  const controls = el(
    "div",
    { class: "row" },
    button,
    position,
    speed,
    el("span", { class: "note" }, t("wave.keys")),
  );
  return { node: el("div", { class: "listen" }, box, controls), span, seek };
}

function colours() {
  return { waveColor: colour("wave"), progressColor: colour("wave-heard"), cursorColor: colour("ink") };
}
