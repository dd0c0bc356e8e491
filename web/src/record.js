// Record from the microphone; what is heard so far is judged every few seconds, the whole at the end.
import { stream } from "./api.js";
import { announce, el, replace } from "./dom.js";
import { clock, percent } from "./format.js";
import { t } from "./language.js";
import { badge } from "./marks.js";
import { prior } from "./options.js";
import { sendAll } from "./uploads.js";
import { verdictName } from "./words.js";

const TYPES = ["audio/webm;codecs=opus", "audio/ogg;codecs=opus", "audio/mp4"];
const STREAMED = /webm|ogg/;
const SHOWN = 8;
// What makes a voice sound nicer takes away what it is judged by.
const RAW = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };

/** Button and running verdict. */
export function recorder(about, signal) {
  const panel = el("div", { class: "live-panel", hidden: true });
  const note = el("p", { class: "trouble", role: "alert" });
  let session = null;
  const button = el("button", { type: "button", onclick: toggle }, t("record.start"));
  signal.addEventListener("abort", () => session?.stop());
  const possible = Boolean(globalThis.navigator.mediaDevices?.getUserMedia && globalThis.MediaRecorder);

  async function toggle() {
    note.textContent = "";
    if (session) return session.stop();
    button.disabled = true;
    try {
      session = await begin(
        about,
        panel,
        (text) => (note.textContent = text),
        () => {
          session = null;
          button.textContent = t("record.start");
          panel.hidden = true;
        },
      );
      button.textContent = t("record.stop");
      panel.hidden = false;
      if (signal.aborted) session.stop();
    } catch (error) {
      note.textContent = t(error.name === "NotAllowedError" ? "record.denied" : "record.failed");
    }
    button.disabled = false;
  }

  if (!possible) return el("p", { class: "note" }, t("record.impossible"));
  return el(
    "div",
    { class: "recorder" },
    el("div", { class: "row" }, button, el("span", { class: "note" }, t("record.hint"))),
    note,
    panel,
  );
}

async function begin(about, panel, complain, onend) {
  const sound = await navigator.mediaDevices.getUserMedia({ audio: RAW });
  const mimeType = TYPES.find((type) => MediaRecorder.isTypeSupported(type)) ?? "";
  const device = new MediaRecorder(sound, mimeType ? { mimeType } : {});
  const chunks = [];
  const show = livePanel(panel);
  const live = about.stream && STREAMED.test(mimeType) ? listen(show, complain) : null;
  if (!live) show.silent();
  const started = performance.now();
  const timer = setInterval(() => show.time((performance.now() - started) / 1000), 250);
  const warn = (event) => event.preventDefault();
  addEventListener("beforeunload", warn);
  device.ondataavailable = (event) => {
    if (!event.data.size) return;
    chunks.push(event.data);
    live?.send(event.data);
  };
  device.onstop = () => {
    clearInterval(timer);
    removeEventListener("beforeunload", warn);
    for (const track of sound.getTracks()) track.stop();
    live?.end();
    onend();
    sendAll([asFile(chunks, device.mimeType)], about.limits);
  };
  device.start(1000);
  announce(t("record.running"));
  return { stop: () => device.state !== "inactive" && device.stop() };
}

function asFile(chunks, mimeType) {
  const ending = /mp4/.test(mimeType) ? "m4a" : /ogg/.test(mimeType) ? "ogg" : "webm";
  const at = new Date(Date.now() - new Date().getTimezoneOffset() * 60_000)
    .toISOString()
    .slice(0, 19)
    .replaceAll(":", "-");
  return new File(chunks, `${t("record.name")}-${at}.${ending}`, { type: mimeType });
}

// The connection may open later than the microphone: what came before waits, in order.
function listen(show, complain) {
  const socket = stream({ format: "container", prior: prior() });
  const early = [];
  let ready = false;
  let over = false;
  socket.addEventListener("message", (message) => {
    const event = JSON.parse(message.data);
    if (event.event === "ready") {
      ready = true;
      for (const chunk of early.splice(0)) socket.send(chunk);
    } else if (event.event === "verdict") show.verdict(event);
    else if (event.event === "error" && !over)
      complain(t("record.lost", { why: event.detail ?? event.code }));
    else if (event.event === "end") socket.close();
  });
  socket.addEventListener("error", () => over || complain(t("record.lost", { why: "" })));
  const open = () => socket.readyState === WebSocket.OPEN;
  return {
    send: (chunk) => (ready && open() ? socket.send(chunk) : early.push(chunk)),
    end() {
      over = true;
      if (open()) socket.send(JSON.stringify({ end: true }));
      setTimeout(() => socket.close(), 10_000);
    },
  };
}

function livePanel(panel) {
  const time = el("span", { class: "figure" }, clock(0, false));
  const now = el("p", { class: "now" }, t("record.first"));
  const past = el("ol", { class: "plain past" });
  replace(
    panel,
    el("p", null, el("span", { class: "dot", "aria-hidden": "true" }), t("record.running"), " ", time),
    now,
    past,
  );
  let last = null;
  return {
    time: (seconds) => (time.textContent = clock(seconds, false)),
    silent: () => (now.textContent = t("record.no-live")),
    verdict({ start_s, end_s, verdict, p_fake }) {
      const parts = [
        badge(verdict),
        p_fake === null || p_fake === undefined ? "" : t("p-fake.short", { p: percent(p_fake) }),
      ];
      const span = `${clock(start_s, false)}–${clock(end_s, false)}`;
      replace(now, parts[0], " ", parts[1], " ", el("span", { class: "note" }, span));
      past.prepend(el("li", null, el("span", { class: "figure" }, span), badge(verdict), parts[1]));
      while (past.children.length > SHOWN) past.lastChild.remove();
      if (verdict !== last) announce(verdictName(verdict));
      last = verdict;
    },
  };
}
