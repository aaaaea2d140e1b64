// The page: keeps the connection to the server and shows what it receives.

import { View } from "/view.js";
import { SettingsPanel, SightPanel, Strip } from "/panels.js";

const id = (name) => document.getElementById(name);
const WORDS = { idle: "no target", tracking: "tracking", lost: "lost" };
const HINTS = {
  idle: "Drag a box around the target, or tap the target.",
  tracking: "Drag or tap again to choose another target.",
  lost: "The target is not seen. Drag or tap to choose it again, or wait.",
};

let snapshot = null;
let socket = null;
let retry = 500;
let toastTimer = 0;
let times = [];
let lastDropped = null;
let lastUpdate = null; // time at which the newest update came, ms
let lastMessage = null; // number of the newest message that was received
let idleSince = 0; // number of the newest answer without a target
let lastHeard = 0; // time at which the newest data came from the server, ms

function say(text, isFine = false) {
  const toast = id("toast");
  toast.textContent = text;
  toast.classList.toggle("fine", isFine);
  toast.classList.add("shown");
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => toast.classList.remove("shown"), isFine ? 2500 : 8000);
}

async function ask(path, method = "POST", body = undefined) {
  try {
    const response = await fetch(path, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const answer = await response.json();
    if (!response.ok) say(answer.error);
    return response.ok ? answer : null;
  } catch {
    say("The server does not answer.");
    return null;
  }
}

const view = new View(id("view"), id("canvas"), id("cursor"), choose, say);

async function choose(target, stamp) {
  const answer = await ask("/target", "POST", { ...target, stamp });
  if (answer) say(answer.said, true);
}

const sight = new SightPanel({
  template: id("template"),
  region: id("region"),
  overlay: id("overlay"),
  cursor: id("region-cursor"),
  candidates: id("candidates"),
});
const settings = new SettingsPanel(id("settings-form"), async (change) => {
  if (!(await ask("/settings", "PATCH", change))) settings.show(settings.settings);
});
const strips = {
  confidence: new Strip(id("strip-confidence"), id("strip-confidence-value"), ["--network"], 1, ([c]) => c.toFixed(2)),
  time: new Strip(id("strip-time"), id("strip-time-value"), ["--crop", "--network", "--decode"], null, (ms) =>
    ms.reduce((sum, value) => sum + value, 0).toFixed(1),
  ),
  dropped: new Strip(id("strip-dropped"), id("strip-dropped-value"), ["--lost"], null, () => String(lastDropped ?? 0)),
};

function tell(update) {
  document.body.dataset.state = update.state;
  id("state-word").textContent = WORDS[update.state];
  id("confidence").textContent = update.state === "idle" ? "" : `confidence ${update.confidence.toFixed(2)}`;
  id("frame").textContent = `frame ${update.frame}`;
  const now = performance.now();
  lastUpdate = now;
  times.push(now);
  times = times.filter((time) => now - time < 2000);
  id("rate").textContent = times.length > 2 ? `${((times.length - 1) / ((now - times[0]) / 1000)).toFixed(0)} per second` : "";
  const dropped = lastDropped === null ? 0 : Math.max(update.dropped - lastDropped, 0);
  lastDropped = update.dropped;
  if (update.state !== "idle") {
    strips.confidence.push([update.confidence], update.state === "lost");
    strips.time.push(update.ms, update.state === "lost");
  }
  strips.dropped.push([dropped], false);
  if (update.state === "idle") {
    idleSince = update.seq;
    view.forget();
  }
  sight.tellTemplate(update.template);
  id("stop").disabled = update.state === "idle";
}

let stripsDue = false;
function drawStrips() {
  if (stripsDue) return;
  stripsDue = true;
  requestAnimationFrame(() => {
    stripsDue = false;
    Object.values(strips).forEach((strip) => strip.draw());
  });
}

async function receive(data) {
  lastHeard = performance.now();
  if (typeof data === "string") {
    const told = JSON.parse(data);
    if (told === "changed") await refresh();
    else if (told.update) {
      tell(told.update);
      drawStrips();
    } else if (told.error) say(told.error);
    return;
  }
  const length = new DataView(data).getUint32(0, true);
  const update = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
  const bitmap = await createImageBitmap(new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" }));
  id("empty").hidden = true;
  // An older picture may come after the answer that there is no target.
  if (update.seq < idleSince) Object.assign(update, { state: "idle", box: null });
  if (id("sight").open) sight.show(bitmap, update.size, update.sight);
  view.show(bitmap, update);
  document.body.dataset.stamp = update.stamp;
  // Ask for the next picture when this one is drawn. A slow page gets fewer pictures, but always the newest.
  requestAnimationFrame(() => send('"picture"'));
}

function send(text) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(text);
}

async function refresh() {
  const [state, list] = await Promise.all([fetch("/state"), fetch("/settings")]);
  if (!state.ok || !list.ok) return;
  snapshot = await state.json();
  settings.show(await list.json());
  id("title").textContent = snapshot.title;
  document.title = `${snapshot.title} · ettrack`;
  id("software").textContent = `${snapshot.software} · ${snapshot.model} · ${snapshot.viewers} connected`;
  const isRecorded = snapshot.playback !== "live";
  for (const name of ["play", "step", "restart"]) id(name).hidden = !isRecorded;
  id("play").textContent = snapshot.playback === "playing" ? "Pause" : "Play";
  id("play").disabled = id("step").disabled = snapshot.playback === "ended";
  id("record").hidden = snapshot.recording === null;
  id("record").textContent = snapshot.recording === "on" ? "End recording" : "Record";
  id("record").classList.toggle("on", snapshot.recording === "on");
  id("download-video").hidden = snapshot.recording !== "ready";
  id("record").title = snapshot.recording === null ? "" : "Record the annotated video";
  // Show a new warning or error at once. Messages from before the page was opened are only in the list.
  const newest = snapshot.messages.at(-1);
  const isNew = newest && lastMessage !== null && newest.number > lastMessage && newest.level !== "info";
  if (isNew) say(newest.text);
  lastMessage = newest?.number ?? lastMessage ?? 0;
  tellStall();
  id("messages").replaceChildren(
    ...snapshot.messages.toReversed().map(({ level, text }) => {
      const line = document.createElement("li");
      line.className = level;
      line.textContent = text;
      return line;
    }),
  );
}

const PATIENCE = 3000; // ms without a frame of a live source

/** Shows the hint: that a live source gives no frames, that a source has ended, or how to choose a target. */
function tellStall() {
  const playback = snapshot?.playback;
  const silent = lastUpdate === null ? 0 : performance.now() - lastUpdate;
  const isStalled = playback === "live" && silent > PATIENCE;
  document.body.dataset.source = isStalled ? "stalled" : playback ?? "";
  if (isStalled) id("hint").textContent = `No frame for ${Math.floor(silent / 1000)} s: the source gives no frames. The picture is old.`;
  else if (playback === "ended") id("hint").textContent = "The source has ended. Press Restart to play it again.";
  else id("hint").textContent = HINTS[document.body.dataset.state] ?? "";
}
setInterval(tellStall, 500);

function connect() {
  socket = new WebSocket(`ws://${location.host}/results`);
  socket.binaryType = "arraybuffer";
  lastHeard = performance.now();
  socket.onopen = () => {
    retry = 500;
    lastDropped = null;
    idleSince = 0;
    lastUpdate = performance.now();
    Object.values(strips).forEach((strip) => strip.clear());
    refresh().catch(() => {});
    send('"picture"');
    if (id("sight").open) send('{"sight":true}');
  };
  socket.onmessage = (event) =>
    receive(event.data).catch((error) => {
      say(String(error));
      // The next picture may be shown again.
      if (typeof event.data !== "string") send('"picture"');
    });
  socket.onclose = connectLater;
}

function connectLater() {
  document.body.dataset.state = "offline";
  id("state-word").textContent = "not connected";
  setTimeout(connect, retry);
  retry = Math.min(retry * 2, 5000);
}

const SILENCE = 15000; // ms without data; a server that is there sends a beat every five seconds

// A machine that lost its power or its network does not close the connection, and a script cannot see pings.
setInterval(() => {
  if (socket?.readyState !== WebSocket.OPEN || performance.now() - lastHeard < SILENCE) return;
  socket.onclose = socket.onmessage = null;
  socket.close();
  connectLater();
}, 1000);

const play = () => ask(snapshot?.playback === "playing" ? "/pause" : "/resume");
const move = () => {
  const isOn = id("move").getAttribute("aria-pressed") !== "true";
  id("move").setAttribute("aria-pressed", String(isOn));
  view.setMoving(isOn);
};
const actions = {
  play,
  step: () => ask("/step"),
  restart: () => ask("/restart"),
  stop: () => ask("/stop"),
  undo: () => ask("/undo").then((answer) => answer && say(answer.said, true)),
  record: () => ask("/recording", "POST", { on: snapshot?.recording !== "on" }),
  move,
  "zoom-in": () => view.zoomBy(1.6),
  "zoom-out": () => view.zoomBy(1 / 1.6),
  "zoom-all": () => view.showAll(),
  "copy-parameters": () => copy(settings.asParameters(snapshot?.node ?? "")),
  "copy-command": () => copy(settings.asCommand(snapshot?.command_line ?? "")),
  defaults: () => {
    // A model that the page does not offer cannot be chosen here, also if it is the default.
    const canGoBack = (setting) => !setting.name.startsWith("history_") && setting.choices?.includes(setting.default) !== false;
    const back = Object.fromEntries(settings.changed().filter(canGoBack).map((setting) => [setting.name, setting.default]));
    if (Object.keys(back).length) ask("/settings", "PATCH", back);
  },
};
for (const [name, action] of Object.entries(actions)) id(name).addEventListener("click", action);

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A browser allows this only for pages from its own machine or over https.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  document.body.dataset.copied = text;
  say("Copied.", true);
}

id("sight").addEventListener("toggle", () => send(JSON.stringify({ sight: id("sight").open })));
id("overlay").addEventListener("change", () => view.bitmap && sight.show(view.bitmap, view.size, sight.sight));

document.addEventListener("keydown", (event) => {
  const isField = event.target.closest("input, select, textarea, button, summary, a");
  if (event.ctrlKey || event.metaKey || event.altKey || isField) return;
  const action = {
    " ": () => !id("play").hidden && play(),
    ".": () => !id("step").hidden && actions.step(),
    Home: () => !id("restart").hidden && actions.restart(),
    x: actions.stop,
    u: actions.undo,
    m: move,
    "+": actions["zoom-in"],
    "=": actions["zoom-in"],
    "-": actions["zoom-out"],
    0: actions["zoom-all"],
  }[event.key];
  if (action) {
    event.preventDefault();
    action();
  }
});

connect();
