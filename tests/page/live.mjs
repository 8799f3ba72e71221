// The page of real runs in a real browser: `make demo`'s own page; then, of the demo that keeps
// running, the buttons, a user without `patch`, and an API server that is frozen. In: the
// environment that `run` sets. Out: an exit code, pictures.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { Cluster } from "./cluster.mjs";
import { compared, drawn } from "./curves.mjs";
import { PROGRAM, check, folder, launch, live, open, picture, resize, sleep, start, stop, text, until } from "./driver.mjs";
import { Seen, compareMarks, countdownError } from "./watch.mjs";

const PHASES = ["baseline", "spike", "peak", "decline"];
/// The recorder reads the ledgers, which have a line a second, and rounds to whole seconds.
const STEP = 1.5;
const dir = folder();
const cluster = new Cluster(join(dir, "demo"));
const number = (shown) => Number(shown.replaceAll(",", ""));
const browser = await launch();
const clocks = (page) => text(page, "#run-0-clocks");
const stage = (page) => text(page, "#run-0-head .current");
const button = (page, verb) => page.$eval(`#run-0-actions [data-request=${verb}]`, (element) => ({
  disabled: element.disabled, reason: element.parentElement.querySelector(".reason")?.textContent ?? "",
})).catch(() => null);
/// A page in the background does not scroll to what is clicked.
async function press(page, verb) {
  await page.bringToFront();
  await page.click(`#run-0-actions [data-request=${verb}]`);
}
let code = 0;
let began = Date.now();
function done(what) {
  console.log(`ok      ${what} (${((Date.now() - began) / 1_000).toFixed(0)} s)`);
  began = Date.now();
}

/// Pictures of a running page for every reader, each checked.
async function pictures(page, name) {
  await page.bringToFront();
  await page.keyboard.press("t");
  for (const theme of ["light", "dark"]) {
    if (theme === "dark") await page.keyboard.press("t");
    await resize(page, "desk");
    await picture(page, `${name}-1280x800-${theme}`);
    await check(page, `${name}, 1280×800 ${theme}`);
  }
  await resize(page, "phone");
  await picture(page, `${name}-390x844`);
  await check(page, `${name}, 390×844`);
  await page.keyboard.press("p");
  await resize(page, "room");
  await picture(page, `${name}-1920x1080-presenter`);
  await check(page, `${name}, 1920×1080 presenter`);
  await page.close();
}

/// All requests went to the page's own server, and nothing is wrong. Only of a program that has
/// ended the browser says so: the updates break off, and then their address refuses it. The page
/// ends shortly before its program.
function assertQuiet(page, started, endedAt) {
  const isEnd = (text, at) => endedAt !== undefined && at >= endedAt - 5_000 && text.includes(`${started.address}events`) &&
    (text.includes("net::ERR_CONNECTION_REFUSED") || text.includes("net::ERR_INCOMPLETE_CHUNKED_ENCODING"));
  assert.deepEqual(page.faults.filter((text, index) => !isEnd(text, page.faultTimes[index])), []);
  assert.ok(page.urls.length > 3 && page.urls.every((url) => url.startsWith(started.address) || url === `file://${started.file}`), page.urls.join("\n"));
}

async function demoRun() {
  const demo = await start(["demo", "--keep", "--state", dir, "tests/page/event.yaml"]);
  let endedAt;
  demo.ended.then(() => { endedAt = Date.now(); });
  const page = await open(browser, demo);
  const seen = new Seen();
  const errors = [];
  let shown;
  await seen.watch(page, () => endedAt !== undefined, async (clocks) => {
    const error = clocks.includes("Phase ") ? await countdownError(page, cluster, "quick") : undefined;
    if (error !== undefined) errors.push(error);
    if (clocks.includes("Phase peak") && !shown) {
      shown = (async () => {
        // In the middle of the peak.
        await sleep(4_000);
        const other = await browser.newPage();
        await other.goto(demo.address);
        await live(other);
        await pictures(other, "live-peak");
      })().catch((error) => error);
    }
    const rows = await page.$$eval("#tables tbody tr", (rows) => rows.map((row) => [...row.children].map((cell) => cell.innerText.trim())));
    if (rows.length > 0) page.tables = rows;
  });
  const failed = await shown;
  if (failed instanceof Error) throw failed;
  assert.equal(await demo.ended, 0, demo.output());
  assertQuiet(page, demo, endedAt);
  await page.close();

  assert.deepEqual([...seen.phases], PHASES);
  const report = JSON.parse(readFileSync(join(cluster.state, "report.json"), "utf8"));
  const lives = compared(seen.plot, report.phases);
  console.log(`        the last curves of the live page differ from report.json by at most: ${lives.shown}`);
  assert.deepEqual(lives.wrong, []);
  for (const phase of report.phases) {
    const row = page.tables.find(([name]) => name.startsWith(phase.name));
    const off = Math.abs(number(row[5]) - phase.accepted) / Math.max(1, phase.accepted);
    assert.ok(off < 0.02, `${phase.name}: ${row} against ${JSON.stringify(phase)}`);
  }
  const { throttled } = report.phases.find((phase) => phase.name === "peak");
  assert.ok(throttled > 0, "the event is too small to be throttled");
  assert.ok(seen.plot.series.throttled.some(({ value }) => value > 0), "the throttles of the cold run are drawn");

  const greatest = Math.max(...errors.map(Math.abs));
  console.log(`        the countdown differed from status.phase.endsAt by at most ${greatest.toFixed(2)} s, ${errors.length} times compared`);
  assert.ok(errors.length >= 10 && greatest <= 1, `${errors}`);

  const record = await cluster.report("quick", 1);
  const marks = compareMarks(seen.marks, record, STEP);
  console.log(`        ${seen.marks.size} marks, when they first appeared, were at most ${marks.greatest.toFixed(2)} s from their instants on record`);
  assert.deepEqual(marks.wrong, []);
  // Draining may pass between two updates. Then it comes with the record, which `pastRun` compares.
  for (const text of ["Running", "first records throttled in peak"]) {
    assert.ok(seen.marks.has(text), `${text}: ${[...seen.marks.keys()]}`);
  }
  done("the demo's own page: phases, curves, throttles, countdown, marks");
  return { report, record };
}

/// The run that is over, as its record has it.
async function pastRun(board, { report, record }) {
  const page = await open(browser, board, `show?run=${record.name}`);
  await until("the finished run", 10_000, async () => (await stage(page)) === "Succeeded");
  await sleep(1_200);
  const [plot] = await drawn(page);
  const curves = compared(plot, report.phases);
  console.log(`        the curves of the record differ from report.json by at most: ${curves.shown}`);
  assert.deepEqual(curves.wrong, []);
  // A line is drawn at a whole pixel.
  const marks = compareMarks(new Map(plot.list.flatMap(({ number, text }) => {
    const mark = plot.marks.find((mark) => mark.number === number);
    return mark ? [[text, { at: mark.at, width: -1 }]] : [];
  })), record, plot.pixel / 1_000);
  assert.deepEqual(marks.wrong, []);
  assert.deepEqual(plot.list.map(({ text }) => text), record.status.marks.map(({ text }) => text));
  assertQuiet(page, board);
  await page.close();
  done("the finished run: curves and marks of its record");
}

async function buttonsAndFreeze(board) {
  const page = await open(browser, board);
  const viewing = await start(["dashboard", "quick", "--no-open", "-n", "default", "--kubeconfig", await cluster.viewer()]);
  const viewer = await open(browser, viewing);
  const refusal = "your role may not patch kinesisdemos in namespace default";
  await until("the reason why the viewer may not rerun", 15_000, async () => (await button(viewer, "rerun"))?.reason.includes(refusal));
  assert.equal((await button(viewer, "rerun")).disabled, true);

  await until("the rerun button", 15_000, async () => (await button(page, "rerun"))?.disabled === false);
  await press(page, "rerun");
  await until("the second run", 30_000, async () => (await text(page, "#run-0-head")).includes("run 2"));
  await until("the viewer's second run", 10_000, async () => (await button(viewer, "abort"))?.reason.includes(refusal));
  assert.equal((await button(viewer, "abort")).disabled, true);
  const before = viewer.urls.length;
  await press(viewer, "abort");
  await sleep(500);
  assert.deepEqual(viewer.urls.slice(before).filter((url) => url.includes("/requests/")), []);
  await picture(viewer, "live-viewer-1280x800");
  await check(viewer, "the page of a user who may not patch");
  assertQuiet(viewer, viewing);
  await viewer.close();
  await stop(viewing);
  done("without patch the buttons are disabled, with the reason; rerun takes effect");

  await until("traffic", 60_000, async () => (await clocks(page)).includes("Phase baseline"));
  const pid = cluster.pid("kube-apiserver");
  process.kill(pid, "SIGSTOP");
  const frozenAt = Date.now();
  try {
    await until("the message about the API server", 8_000, async () => (await text(page, "#messages")).includes("has not responded"));
    await check(page, "an API server that does not respond");
    await picture(page, "live-frozen-1280x800");
    await sleep(Math.max(0, 10_000 - (Date.now() - frozenAt)));
  } finally {
    process.kill(pid, "SIGCONT");
  }
  const thawedAt = Date.now();
  await until("end of the message", 20_000, async () => !(await text(page, "#messages")).includes("has not responded"));
  // By then the operator may have given up its Lease; another takes over, and the schedule moves.
  const sampled = async () => (await cluster.demo("quick")).status.traffic?.sampledAt;
  const earlier = await sampled();
  await until("an operator that reads the ledgers", 60_000, async () => (await sampled()) > earlier && (await sampled()) > new Date(thawedAt).toISOString());
  const accepted = () => text(page, "#run-0-figures .of-accepted .value");
  const known = await accepted();
  await until("new figures after the API server was frozen", 30_000, async () => (await accepted()) !== known);
  await until("the next phase", 40_000, async () => /Phase (spike|peak)/.test(await clocks(page)));
  const error = await until("the countdown of the moved schedule", 10_000, () => countdownError(page, cluster, "quick"));
  assert.ok(Math.abs(error) <= 1, `the countdown is wrong by ${error} s`);
  console.log(`        after 10 s without the API server, all went on ${((Date.now() - thawedAt) / 1_000).toFixed(0)} s later`);
  done("page and run go on by themselves after the API server was frozen for 10 s");

  page.on("dialog", (dialog) => dialog.accept());
  await until("the abort button", 15_000, async () => (await button(page, "abort"))?.disabled === false);
  await press(page, "abort");
  await until("the aborted run", 60_000, async () => (await stage(page)) === "Aborted");
  await sleep(1_200);
  await picture(page, "live-aborted-1280x800");
  await check(page, "an aborted run");
  const { status } = await cluster.demo("quick");
  assert.deepEqual([status.run.number, status.stage, status.lastRequest.verb, status.lastRequest.outcome], [2, "Aborted", "abort", "Accepted"]);
  assertQuiet(page, board);
  await page.close();
  done("abort takes effect");
}

try {
  const first = await demoRun();
  const board = await start(["dashboard", "quick", "--no-open", "-n", "default", "--kubeconfig", cluster.kubeconfig]);
  await pastRun(board, first);
  await buttonsAndFreeze(board);
  await stop(board);
} catch (error) {
  code = 1;
  console.log(`FAILED  the page of a live run\n${error.stack}`);
} finally {
  await browser.close();
  execFileSync(PROGRAM, ["demo-down", "--state", dir], { stdio: "ignore" });
}
process.exit(code);
