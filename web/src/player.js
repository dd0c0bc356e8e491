// Play buttons of other recordings; one sounds at a time.
import { source } from "./api.js";
import { el } from "./dom.js";
import { t } from "./language.js";
import { unplayable } from "./problems.js";

let playing = null;

/** Silence whatever plays. */
export function hush() {
  playing?.pause();
  playing = null;
}

/** A button that plays what lies at a path of the API, from `start_s`; `name` says what it is. */
export function playButton(path, name, signal, start_s = 0) {
  let audio = null;
  const button = el("button", { type: "button", class: "small", onclick: toggle }, label(false));
  const trouble = el("span", { class: "trouble", role: "status" });
  signal?.addEventListener("abort", () => {
    audio?.pause();
    audio?.release?.();
  });

  function label(on) {
    return [t(on ? "pause" : "play"), el("span", { class: "unseen" }, ` ${name}`)];
  }

  async function load() {
    const { url, release } = await source(path, signal);
    const made = new Audio(url);
    made.release = release;
    made.currentTime = start_s;
    for (const event of ["play", "pause", "ended"]) {
      made.addEventListener(event, () => button.replaceChildren(...label(!made.paused)));
    }
    return made;
  }

  async function toggle() {
    trouble.textContent = "";
    try {
      audio ??= await load();
      if (!audio.paused) return audio.pause();
      if (playing !== audio) hush();
      playing = audio;
      await audio.play();
    } catch (problem) {
      if (!signal?.aborted) trouble.textContent = unplayable(problem);
    }
  }

  return el("span", { class: "player" }, button, trouble);
}
