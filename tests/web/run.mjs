// Tests of the web page in headless Chromium, by mouse, touch and keys: node run.mjs ETTRACK CHROMIUM OUT
//
// Prints a line for each test. The exit code is 0 if all tests pass, else 1. Screenshots are written to OUT.

import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { chromium, request } from "playwright-core";

const [ettrack, browserPath, out] = process.argv.slice(2);
const FLIGHT = join(out, "flight");
const FRAMES = 400;
const servers = [];

rmSync(out, { recursive: true, force: true });
mkdirSync(out, { recursive: true });
const rendered = spawnSync(
  ettrack,
  ["simulate", "--output", FLIGHT, "--frames", String(FRAMES), "--seed", "3"],
  { stdio: ["ignore", "ignore", "inherit"] },
);
if (rendered.status !== 0) throw new Error("the sequence was not rendered");
// One box for each frame. The file counts pixels from 1; the page counts from 0.
const truth = readFileSync(join(FLIGHT, "groundtruth_rect.txt"), "utf8")
  .trim()
  .split("\n")
  .map((line) => line.split(/[,\s]+/).map(Number))
  .map(([x, y, w, h]) => [x - 1, y - 1, w, h]);

function overlap(a, b) {
  const across = Math.min(a[0] + a[2], b[0] + b[2]) - Math.max(a[0], b[0]);
  const down = Math.min(a[1] + a[3], b[1] + b[3]) - Math.max(a[1], b[1]);
  const common = Math.max(across, 0) * Math.max(down, 0);
  return common / (a[2] * a[3] + b[2] * b[3] - common);
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function check(holds, words) {
  if (!holds) throw new Error(words);
}

async function until(condition, words, patience = 30000) {
  const end = Date.now() + patience;
  while (Date.now() < end) {
    if (await condition()) return;
    await sleep(50);
  }
  throw new Error(`${words} (waited ${patience / 1000} s)`);
}

/** Starts `ettrack serve`, waits for it, and returns its address (url), its process (child) and its output so far (said). */
async function serve(options = {}) {
  const { address = "127.0.0.1:0", more = [], rate = "15" } = options;
  const child = spawn(ettrack, ["serve", join(FLIGHT, "img"), "--address", address, "--rate", rate, ...more], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  servers.push(child);
  let said = "";
  child.stdout.on("data", (data) => (said += data));
  await until(() => /the page is at (\S+)/.test(said), "the server printed its address");
  return { url: said.match(/the page is at (\S+)/)[1], child, said: () => said };
}

async function end(server) {
  server.child.kill("SIGINT");
  await until(() => server.child.exitCode !== null, "the server ended", 10000);
  check(server.child.exitCode === 0, `exit code ${server.child.exitCode}`);
}

const browser = await chromium.launch({
  executablePath: browserPath,
  args: [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
  ],
});

async function open(url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.problems = [];
  page.on("pageerror", (error) => page.problems.push(String(error)));
  page.on("console", (message) => {
    if (/Content Security Policy/i.test(message.text())) page.problems.push(message.text());
  });
  await page.goto(url);
  await page.waitForFunction(() => document.body.dataset.stamp, undefined, { timeout: 30000 });
  return page;
}

const state = (page) => page.evaluate(async () => (await fetch("/state")).json());
const rows = async (page) =>
  (await page.evaluate(async () => (await fetch("/boxes.csv")).text()))
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => line.split(","))
    .map(([frame, x, y, w, h, confidence, word, stamp]) => ({
      frame: Number(frame), box: [x, y, w, h].map(Number), confidence: Number(confidence), word, stamp,
    }));

/** Returns a function from pixels of the frame to pixels of the page. The picture must not be zoomed. */
async function places(page) {
  const size = (await state(page)).update.size;
  const view = await page.locator("#view").boundingBox();
  const scale = Math.min(view.width / size[0], view.height / size[1]);
  const left = view.x + (view.width - size[0] * scale) / 2;
  const top = view.y + (view.height - size[1] * scale) / 2;
  return (x, y) => [left + x * scale, top + y * scale];
}

async function drag(page, box, hold = 0) {
  const place = await places(page);
  await page.mouse.move(...place(box[0], box[1]));
  await page.mouse.down();
  await page.mouse.move(...place(box[0] + box[2] / 2, box[1] + box[3] / 2), { steps: 4 });
  await sleep(hold);
  await page.mouse.move(...place(box[0] + box[2], box[1] + box[3]), { steps: 4 });
  await page.mouse.up();
}

async function frameShown(page) {
  const stamp = await page.evaluate(() => document.body.dataset.stamp);
  return Math.round(Number(stamp) / (1e9 / 15)) - 1;
}

const tests = {
  async "a dragged box is tracked over 60 frames"() {
    const server = await serve();
    const page = await open(server.url);
    check((await state(page)).playback === "paused", "a recorded source waits for a target");
    await drag(page, truth[0]);
    await until(async () => (await state(page)).update.frame >= 60, "60 frames were played", 60000);
    const followed = (await rows(page)).slice(0, 60);
    check(followed.length === 60, `${followed.length} rows`);
    check(followed.every((row, k) => row.frame === k), "every frame was tracked once");
    const good = mean(followed.map((row) => overlap(row.box, truth[row.frame])));
    check(good > 0.6, `mean overlap with the truth ${good}`);
    console.log(`        mean overlap with the truth over 60 frames: ${good.toFixed(3)}`);
    // The panel shows the search in the present frame, also if no other frame comes.
    await page.locator("#play").click();
    await until(async () => (await state(page)).playback === "paused", "it is paused");
    await page.locator("#sight > summary").click();
    await until(() => page.evaluate(() => document.querySelectorAll("#candidates tr").length > 0), "candidates are shown");
    await until(() => page.evaluate(() => document.getElementById("template").naturalWidth === 128), "the template is shown");
    await page.screenshot({ path: join(out, "dark.png") });
    await page.emulateMedia({ colorScheme: "light" });
    await sleep(300);
    await page.screenshot({ path: join(out, "light.png") });
    check(page.problems.length === 0, page.problems.join("; "));
    await page.context().close();
    await end(server);
  },

  async "a tapped point becomes a box that is tracked"() {
    const server = await serve();
    const page = await open(server.url);
    const place = await places(page);
    const [x, y, w, h] = truth[0];
    const view = await page.locator("#view").boundingBox();
    const corner = place(0, 0);
    check(Math.max(corner[0] - view.x, corner[1] - view.y) > 8, "the picture does not fill the view");
    await page.mouse.click(view.x + 4, view.y + 4);
    await sleep(500);
    check((await state(page)).playback === "paused", "a tap beside the picture chooses nothing");
    await page.mouse.click(...place(x + w / 2, y + h / 2));
    await until(async () => (await state(page)).update.frame >= 10, "10 frames were played");
    const first = (await rows(page))[0];
    check(overlap(first.box, truth[0]) > 0.25, `overlap of the grown box ${overlap(first.box, truth[0])}`);
    await page.context().close();
    await end(server);
  },

  async "a box drawn in the zoomed picture is sent in pixels of the frame"() {
    const server = await serve();
    const page = await open(server.url);
    const [x, y, w, h] = truth[0];
    const place = await places(page);
    const middle = place(x + w / 2, y + h / 2);
    await page.mouse.move(...middle);
    await page.mouse.wheel(0, -700);
    await sleep(200);
    const zoom = Math.exp(700 * 0.0015);
    const placed = (fx, fy) => {
      const at = place(fx, fy);
      return [middle[0] + (at[0] - middle[0]) * zoom, middle[1] + (at[1] - middle[1]) * zoom];
    };
    await page.mouse.move(...placed(x, y));
    await page.mouse.down();
    await page.mouse.move(...placed(x + w, y + h), { steps: 5 });
    await page.mouse.up();
    await until(async () => (await state(page)).update.state !== "idle", "a target was chosen");
    const first = (await rows(page))[0];
    const placedWell = overlap(first.box, truth[first.frame]);
    check(placedWell > 0.8, `overlap ${placedWell} in frame ${first.frame}`);
    await page.context().close();
    await end(server);
  },

  async "a box belongs to the frame that was shown when the drag began"() {
    const server = await serve();
    const page = await open(server.url);
    let body = null;
    page.on("request", (sent) => sent.url().endsWith("/target") && (body = sent.postDataJSON()));
    await page.locator("#play").click();
    await until(async () => (await frameShown(page)) > 20, "20 frames were shown");
    const place = await places(page);
    // Pressing stops the picture. Only then is it known which frame is shown.
    await page.mouse.move(...place(2, 2));
    await page.mouse.down();
    await sleep(100);
    const frame = await frameShown(page);
    await sleep(1500);
    await page.keyboard.press("Escape");
    await page.mouse.up();
    await page.locator("#pause, #play").first().click();
    await sleep(300);
    const shown = await frameShown(page);
    await page.locator("#play").click();
    await drag(page, truth[shown], 1500);
    await until(() => body !== null, "a target was sent");
    const sentFrame = Math.round(Number(body.stamp) / (1e9 / 15)) - 1;
    const newest = (await state(page)).update.frame;
    check(newest > sentFrame + 5, `chosen in frame ${sentFrame}, newest ${newest}`);
    check(frame > 0, "frames were shown");
    await until(async () => (await state(page)).update.state === "tracking", "it is tracked");
    const { update } = await state(page);
    const now = overlap(update.box, truth[update.frame]);
    check(now > 0.4, `overlap with the truth of frame ${update.frame}: ${now}`);
    await page.context().close();
    await end(server);
  },

  async "settings change the tracker, and undo brings a stopped target back"() {
    const server = await serve();
    const page = await open(server.url);
    await drag(page, truth[0]);
    await until(async () => (await state(page)).update.state === "tracking", "it is tracked");
    const put = (changes) =>
      page.evaluate(async (body) => (await fetch("/settings", { method: "PATCH", body: JSON.stringify(body) })).status, changes);
    check((await put({ confidence_threshold: 1.0, recovery_threshold: 1.0, lost_after_frames: 1 })) === 200, "settings taken");
    await until(() => page.evaluate(() => document.body.dataset.state === "lost"), "it is lost");
    await page.screenshot({ path: join(out, "lost.png") });
    check((await put({ confidence_threshold: 0.0, recovery_threshold: 0.0, found_after_frames: 1 })) === 200, "settings taken");
    await until(() => page.evaluate(() => document.body.dataset.state === "tracking"), "it is found");
    await page.locator("#set-search_scale").fill("2");
    await page.locator("#set-search_scale").press("Enter");
    await page.locator("#set-search_scale").blur();
    const value = (name) =>
      page.evaluate(async (wanted) => (await (await fetch("/settings")).json()).find((s) => s.name === wanted).value, name);
    await until(async () => (await value("search_scale")) === 2, "the field's value was set");
    await page.locator("input[type=range][aria-label=mono16_bits]").press("ArrowRight");
    await until(async () => (await value("mono16_bits")) === 9, "the slider of a whole number was moved");
    await page.locator("#copy-command").click();
    await until(() => page.evaluate(() => /--set search_scale=2/.test(document.body.dataset.copied ?? "")), "copied");
    await page.locator("#copy-parameters").click();
    await until(() => page.evaluate(() => /search_scale: 2/.test(document.body.dataset.copied ?? "")), "copied");
    check((await put({ search_scale: 99 })) === 422, "a value out of range is refused");
    check((await put({ model_path: "/etc/passwd" })) === 422, "a path is refused");
    await page.locator("#defaults").click();
    await until(async () => (await value("search_scale")) === 1 && (await value("mono16_bits")) === 0, "the defaults are back");
    const before = (await state(page)).update.id;
    await page.locator("#stop").click();
    await until(async () => (await state(page)).update.state === "idle", "it is given up");
    await page.locator("#undo").click();
    await until(async () => (await state(page)).update.id === before, "it is back");
    await page.context().close();
    await end(server);
  },

  async "two browsers show the same target, and a phone can choose it by touch"() {
    const server = await serve();
    const desk = await open(server.url);
    const phone = await open(server.url, { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 });
    const wide = await phone.evaluate(() => document.documentElement.scrollWidth);
    check(wide <= 360, `the page is ${wide} pixels wide`);
    const small = await phone.evaluate(() =>
      [...document.querySelectorAll("button")].filter((b) => b.offsetParent && b.getBoundingClientRect().height < 44).map((b) => b.id));
    check(small.length === 0, `too small for a thumb: ${small}`);
    const unnamed = await phone.evaluate(() =>
      [...document.querySelectorAll("button, input, select, canvas[role]")]
        .filter((e) => !(e.textContent.trim() || e.getAttribute("aria-label") || e.labels?.length)).map((e) => e.id));
    check(unnamed.length === 0, `without a name: ${unnamed}`);
    const place = await places(phone);
    const [x, y, w, h] = truth[0];
    await phone.touchscreen.tap(...place(x + w / 2, y + h / 2));
    await until(() => desk.evaluate(() => document.body.dataset.state === "tracking"), "the other browser sees it");
    await sleep(800);
    await phone.screenshot({ path: join(out, "phone.png") });
    check((await state(desk)).viewers === 2, "two are counted");
    await desk.context().close();
    await phone.context().close();
    await end(server);
  },

  async "a target can be chosen by keys alone"() {
    const server = await serve();
    const page = await open(server.url);
    const [width, height] = (await state(page)).update.size;
    await page.locator("#view").focus();
    const [x, y, w, h] = truth[0];
    const view = await page.locator("#view").boundingBox();
    const step = 4 / Math.min(view.width / width, view.height / height);
    const across = Math.round((x + w / 2 - width / 2) / step);
    const down = Math.round((y + h / 2 - height / 2) / step);
    for (let k = 0; k < Math.abs(across); k++) await page.keyboard.press(across > 0 ? "ArrowRight" : "ArrowLeft");
    for (let k = 0; k < Math.abs(down); k++) await page.keyboard.press(down > 0 ? "ArrowDown" : "ArrowUp");
    if (!across && !down) await page.keyboard.press("ArrowRight");
    await page.locator("#zoom-all").focus();
    await page.keyboard.press("Enter");
    await sleep(300);
    check((await state(page)).update.state === "idle", "Enter on a button chooses no target");
    await page.locator("#view").focus();
    await page.keyboard.press("Enter");
    await until(async () => (await state(page)).update.state !== "idle", "a target was chosen");
    const { box } = (await rows(page))[0];
    check(Math.abs(box[0] + box[2] / 2 - x - w / 2) < w && Math.abs(box[1] + box[3] / 2 - y - h / 2) < h, `box ${box}`);
    await page.context().close();
    await end(server);
  },

  async "the page connects again after the server has restarted"() {
    const first = await serve();
    const port = new URL(first.url).port;
    const page = await open(first.url);
    await end(first);
    await until(() => page.evaluate(() => document.body.dataset.state === "offline"), "it says that it is not connected");
    const second = await serve({ address: `127.0.0.1:${port}` });
    await until(() => page.evaluate(() => document.body.dataset.state === "idle"), "it is connected again");
    await page.context().close();
    await end(second);
  },

  async "the right token opens the page; a wrong token and another page's script are refused"() {
    const server = await serve({ address: "0.0.0.0:0" });
    const url = new URL(server.url);
    check(url.searchParams.get("token")?.length === 32, "a token was printed");
    check(/[█▀▄]/.test(server.said()), "a code for a phone's camera was printed");
    const page = await open(server.url);
    check(!page.url().includes("token"), "the token does not stay in the address");
    await drag(page, truth[0]);
    await until(async () => (await state(page)).update.state === "tracking", "it is tracked");
    const api = await request.newContext();
    const base = `http://127.0.0.1:${url.port}`;
    check((await api.get(`${base}/state`)).status() === 401, "no token");
    check((await api.get(`${base}/?token=0123456789abcdef0123456789abcdef`)).status() === 401, "a wrong token");
    const foreign = await api.post(`${base}/stop?token=${url.searchParams.get("token")}`, { headers: { Origin: "http://evil.example" } });
    check(foreign.status() === 403, `a foreign origin got ${foreign.status()}`);
    await page.context().close();
    await end(server);

    const open_ = await serve();
    const elsewhere = await (await browser.newContext()).newPage();
    await elsewhere.goto("data:text/html,<p>another page</p>");
    const reached = await elsewhere.evaluate(
      (target) =>
        Promise.race([
          new Promise((done) => {
            const socket = new WebSocket(target.replace("http", "ws") + "results");
            socket.onopen = () => done("open");
            socket.onerror = () => done("refused");
          }),
          new Promise((done) => setTimeout(() => done("nothing"), 5000)),
        ]),
      open_.url,
    );
    check(reached === "refused", `another page's WebSocket: ${reached}`);
    await end(open_);
  },

  async "the annotated video and the report can be downloaded"() {
    const server = await serve();
    const page = await open(server.url);
    await page.locator("#record").click();
    await until(async () => (await state(page)).recording === "on", "it records");
    await drag(page, truth[0]);
    await until(async () => (await state(page)).update.frame >= 12, "12 frames were played");
    await page.locator("#record").click();
    await until(async () => (await state(page)).recording === "ready", "it is recorded");
    const length = await page.evaluate(async () => (await (await fetch("/recording")).arrayBuffer()).byteLength);
    check(length > 1000, `a video of ${length} bytes`);
    const report = await page.evaluate(async () => (await fetch("/report.html")).text());
    check(report.includes("mean confidence") && report.includes("<svg"), "a report with plots");
    await page.context().close();
    await end(server);
  },
};

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  if (process.env.ONLY && !name.includes(process.env.ONLY)) continue;
  try {
    await test();
    console.log(`ok      ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAILED  ${name}: ${error.message}`);
  }
}
await browser.close();
for (const child of servers) if (child.exitCode === null) child.kill("SIGKILL");
console.log(failed ? `${failed} tests of the page failed` : "all tests of the page passed");
process.exit(failed ? 1 : 0);
