// A browser, our program, and checks that every page must pass. In: the environment that `run`
// sets. Out: functions for replay.mjs and live.mjs. Starts processes; ends them.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { layout } from "./layout.mjs";

const require = createRequire(`${process.env.NODE_PATH}/`);
const puppeteer = require("puppeteer-core");
const AXE = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

export const PROGRAM = join(process.env.KINESISDEMO_PAGE_PROGRAMS, "kubectl-kinesisdemo");
export const PICTURES = "target/pictures";
export const SIZES = { desk: [1280, 800], room: [1920, 1080], phone: [390, 844] };

const children = [];
const folders = [];
process.on("exit", () => {
  children.forEach((child) => child.kill("SIGTERM"));
  folders.forEach((name) => rmSync(name, { recursive: true, force: true }));
});

/// A folder of this test alone, which is removed at the end.
export const folder = () => {
  const name = mkdtempSync(join(tmpdir(), "kinesisdemo-page-"));
  folders.push(name);
  return name;
};

/// Starts the program, and waits until it has printed where its page is.
export async function start(args, env = {}) {
  const child = spawn(PROGRAM, args, { env: { ...process.env, XDG_RUNTIME_DIR: folder(), ...env }, stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  let output = "";
  const found = (pattern) => output.match(pattern)?.[1];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => { output += data; });
  const ended = new Promise((resolve) => child.on("close", (code) => resolve(code)));
  await until("the page's address", 180_000, () => {
    assert.equal(child.exitCode, null, `the program ended early:\n${output}`);
    return found(/address is (\S+)/);
  });
  return { child, ended, output: () => output, file: found(/open '?([^'\n]*?)'? in a browser/), address: found(/address is (\S+)/) };
}

/// Waits until the check returns something.
export async function until(what, millis, check) {
  const end = Date.now() + millis;
  for (;;) {
    const found = await check();
    if (found) return found;
    assert.ok(Date.now() < end, `no ${what} within ${millis} ms`);
    await sleep(50);
  }
}

export const sleep = (millis) => new Promise((resolve) => setTimeout(resolve, millis));

export const launch = () => puppeteer.launch({
  executablePath: process.env.CHROMIUM,
  // Every name but loopback's address is unknown: a request that leaves would fail, and show.
  args: ["--no-sandbox", "--disable-background-networking", "--force-color-profile=srgb", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
});

/// A page that is logged in, with a record of what it must not do (`faults`, and when: `faultTimes`)
/// and of all that it requested (`urls`).
export async function open(browser, started, path = "") {
  const page = await browser.newPage();
  Object.assign(page, { faults: [], faultTimes: [], urls: [] });
  const fault = (text) => { page.faultTimes[page.faults.push(text) - 1] = Date.now(); };
  page.on("console", (message) => {
    if (message.type() === "error" && !page.mayFail) fault(`console: ${message.text()} ${message.location().url ?? ""}`.trim());
  });
  page.on("pageerror", (error) => fault(`script: ${error.message}`));
  page.on("request", (request) => {
    page.urls.push(request.url());
    if (!isOurs(request.url(), started)) fault(`request: ${request.url()}`);
  });
  await page.setViewport({ width: 1280, height: 800 });
  await page.goto(`file://${started.file}`);
  await until("clean address", 5_000, () => page.url() === started.address);
  if (path) await page.goto(`${started.address}${path}`);
  await live(page);
  return page;
}

/// Whether a browser may ask for this: the page's own server, or the file that leads to it.
const isOurs = (url, started) => url.startsWith(started.address) || url === `file://${started.file}`;

export const live = (page) => page.waitForSelector('#connection[data-state="live"]', { timeout: 20_000 });

export const text = (page, selector) => page.$eval(selector, (element) => element.innerText).catch(() => "");

export async function resize(page, name) {
  const [width, height] = SIZES[name];
  await page.setViewport({ width, height });
  await sleep(1_200);
}

/// Nothing is cut off, nothing lies over something else, and axe-core finds no serious fault.
export async function check(page, what) {
  assert.deepEqual(await layout(page), [], what);
  const violations = await axe(page);
  assert.deepEqual(violations, [], what);
}

/// axe-core runs in an isolated world, since the page's policy allows no script but its own.
async function axe(page) {
  const session = await page.createCDPSession();
  const { frameTree } = await session.send("Page.getFrameTree");
  const { executionContextId } = await session.send("Page.createIsolatedWorld", { frameId: frameTree.frame.id, worldName: "axe" });
  const run = async (expression, awaitPromise = false) => {
    const { result, exceptionDetails } = await session.send("Runtime.evaluate", { expression, contextId: executionContextId, awaitPromise, returnByValue: true });
    assert.equal(exceptionDetails, undefined, JSON.stringify(exceptionDetails));
    return result.value;
  };
  await run(`${AXE};0`);
  const found = await run("axe.run(document, {resultTypes: ['violations']}).then((found) => found.violations.map(({id, impact, nodes}) => ({id, impact, at: nodes.slice(0, 3).map((node) => node.target.join(' ') + ': ' + (node.any[0]?.message ?? ''))})))", true);
  await session.detach();
  return found.filter(({ impact }) => impact === "serious" || impact === "critical");
}

export const picture = (page, name) => page.screenshot({ path: `${PICTURES}/${name}.png` });

/// Ends a program as Ctrl-C does.
export async function stop(started) {
  started.child.kill("SIGINT");
  return started.ended;
}
