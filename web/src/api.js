// The HTTP API of the server that this page came from.
import { recall, remember } from "./language.js";

const KEY = "earwitness.key";
const BASE = globalThis.document ? new URL("v1/", document.baseURI) : null;
let key = recall(KEY, "sessionStorage");
let askForKey = async () => false;

/** What the server refused, and why. */
export class Problem extends Error {
  constructor(status, body) {
    super(body?.detail || body?.title || `HTTP ${status}`);
    this.status = status;
    this.code = body?.code ?? (status === 0 ? "offline" : "unknown");
  }
}

/** Whom to ask when the server wants a key: a function that answers whether one was given. */
export function onKeyWanted(ask) {
  askForKey = ask;
}

/** Use this key from now on; null forgets it. Kept until the tab is closed. */
export function useKey(value) {
  key = value;
  remember(KEY, value, "sessionStorage");
}

/** Whether a key is in use. */
export function hasKey() {
  return Boolean(key);
}

/** The address of something below /v1. */
export function address(path, query = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") url.searchParams.set(name, value);
  }
  return url;
}

/** Path of an analysis, or of something of it. */
export function analysisPath(id, rest = "") {
  return `analyses/${encodeURIComponent(id)}${rest}`;
}

function headers(more) {
  return { ...(key ? { Authorization: `Bearer ${key}` } : {}), ...more };
}

async function respond(path, { query, signal, method = "GET", body, patient = true } = {}) {
  const json = body === undefined ? {} : { "Content-Type": "application/json" };
  const options = { method, signal, headers: headers(json), body: body && JSON.stringify(body) };
  let answer;
  try {
    answer = await fetch(address(path, query), options);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, null);
  }
  if (answer.ok) return answer;
  const problem = new Problem(answer.status, await answer.json().catch(() => null));
  if (problem.status === 401 && patient && (await askForKey())) {
    return respond(path, { query, signal, method, body, patient: false });
  }
  throw problem;
}

/** JSON of the server. */
export async function get(path, query, signal) {
  return (await respond(path, { query, signal })).json();
}

/** What the server can do; never asks for a key itself. */
export async function getAbout() {
  return (await respond("about", { patient: false })).json();
}

export async function post(path, body) {
  return (await respond(path, { method: "POST", body })).json();
}

export async function remove(path) {
  await respond(path, { method: "DELETE" });
}

/** An address that `<audio>` and links can use: the server's own, or with a key what was fetched with it. */
export async function source(path, signal) {
  if (!key) return { url: address(path).href, release() {} };
  const blob = await (await respond(path, { signal })).blob();
  const url = URL.createObjectURL(blob);
  return { url, release: () => URL.revokeObjectURL(url) };
}

/** Save something of the server as a file. */
export async function download(path, name) {
  const blob = await (await respond(path)).blob();
  const url = URL.createObjectURL(blob);
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** Send a recording; `onshare` hears which share has gone. The same `token` never makes two analyses. */
export async function upload(file, name, options, token, onshare, signal, patient = true) {
  try {
    return await send(address("analyses", { ...options, name, wait_s: 0 }), file, token, onshare, signal);
  } catch (problem) {
    if (problem.status !== 401 || !patient || !(await askForKey())) throw problem;
    return upload(file, name, options, token, onshare, signal, false);
  }
}

function send(url, file, token, onshare, signal) {
  return new Promise((resolve, reject) => {
    const call = new XMLHttpRequest();
    call.open("POST", url);
    call.responseType = "json";
    call.setRequestHeader("Content-Type", file.type || "application/octet-stream");
    call.setRequestHeader("Idempotency-Key", token);
    for (const [name, value] of Object.entries(headers())) call.setRequestHeader(name, value);
    call.upload.onprogress = (event) => event.lengthComputable && onshare(event.loaded / event.total);
    call.onload = () =>
      call.status < 300 ? resolve(call.response) : reject(new Problem(call.status, call.response));
    call.onerror = () => reject(new Problem(0, null));
    call.onabort = () => reject(new DOMException("stopped", "AbortError"));
    signal?.addEventListener("abort", () => call.abort(), { once: true });
    call.send(file);
  });
}

/** A connection that hears a recording while it is made; the first message is sent by itself. */
export function stream(settings) {
  const url = address("stream");
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(url);
  socket.addEventListener("open", () =>
    socket.send(JSON.stringify({ ...(key ? { key } : {}), ...settings })),
  );
  return socket;
}
