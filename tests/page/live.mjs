// The page of real runs in a real browser: `make demo`'s own page; then, of the demo that keeps
// running, the buttons and an API server that is frozen. (A user without `patch`:
// cli/tests/dashboard.rs.) In: the environment that `run` sets. Out: an exit code, pictures.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { PROGRAM, check, folder, launch, live, open, picture, resize, sleep, start, stop, text, until } from "./driver.mjs";

const PHASES = ["baseline", "spike", "peak", "decline"];
const dir = folder();
const state = join(dir, "demo");
const number = (shown) => Number(shown.replaceAll(",", ""));
const browser = await launch();
let code = 0;

/// The pid of our API server: its command line names this folder.
function apiServer() {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const [program, ...args] = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
      if (program.endsWith("kube-apiserver") && args.some((arg) => arg.includes(state))) return Number(pid);
    } catch { /* it has just ended */ }
  }
  throw new Error("no API server of this demo is running");
}

try {
  // The demo's own page, while its run goes on.
  const demo = await start(["demo", "--keep", "--state", dir, "tests/page/event.yaml"]);
  const page = await open(browser, demo);
  const seen = new Set();
  let shots = 0;
  while (demo.child.exitCode === null) {
    const clocks = await text(page, "#run-0-clocks");
    for (const phase of PHASES) if (clocks.includes(`Phase ${phase} (`)) seen.add(phase);
    if (clocks.includes("Phase peak") && shots === 0) {
      shots = 1;
      await sleep(6_000);
      await picture(page, "live-peak-1280x800");
    }
    // The program ends with the run. The sums per phase are final before, while the run cleans up.
    const stage = await text(page, "#run-0-head .current");
    if (["Cleaning up", "Succeeded"].includes(stage)) {
      page.tables = await page.$$eval("#tables tbody tr", (rows) => rows.map((row) => [...row.children].map((cell) => cell.innerText.trim())));
      if (shots === 1) {
        shots = 2;
        await picture(page, "live-end-1280x800");
        await check(page, "the end of a live run");
      }
    }
    await sleep(100);
  }
  assert.equal(await demo.ended, 0, demo.output());
  assert.deepEqual([...seen], PHASES);
  assert.deepEqual(page.faults.filter((fault) => !fault.includes("ERR_CONNECTION_REFUSED") && !fault.includes("INCOMPLETE_CHUNKED")), []);
  const report = JSON.parse(readFileSync(join(state, "report.json"), "utf8"));
  for (const phase of report.phases) {
    const row = page.tables.find(([name]) => name.startsWith(phase.name));
    const off = Math.abs(number(row[5]) - phase.accepted) / Math.max(1, phase.accepted);
    assert.ok(off < 0.02, `${phase.name}: ${row} against ${JSON.stringify(phase)}`);
  }
  assert.ok(report.phases.find((phase) => phase.name === "peak").throttled > 0, "the event is too small to be throttled");
  await page.close();
  console.log("ok      the demo's own page: every phase, the report's sums");

  // The same object from outside: buttons, a frozen API server.
  const board = await start(["dashboard", "quick", "--no-open", "-n", "default", "--kubeconfig", join(state, "admin.kubeconfig")]);
  const outside = await open(browser, board);
  await until("rerun button", 10_000, () => outside.$("#run-0-actions [data-request=rerun]:not([disabled])"));
  await outside.click("#run-0-actions [data-request=rerun]");
  await until("second run", 30_000, async () => (await text(outside, "#run-0-head")).includes("run 2"));
  await until("traffic", 60_000, async () => (await text(outside, "#run-0-clocks")).includes("Phase baseline"));
  const pid = apiServer();
  process.kill(pid, "SIGSTOP");
  const frozenAt = Date.now();
  await until("message about the API server", 7_500, async () => (await text(outside, "#messages")).includes("has not responded"));
  // The demo's operator gives up its Lease after 10 s without a renewal, and nothing starts it again.
  await sleep(Math.max(0, 8_000 - (Date.now() - frozenAt)));
  process.kill(pid, "SIGCONT");
  await until("end of the message", 20_000, async () => !(await text(outside, "#messages")).includes("has not responded"));
  const accepted = () => text(outside, "#run-0-figures .of-accepted .value");
  const before = await accepted();
  await until("new figures after the API server was frozen", 20_000, async () => (await accepted()) !== before);
  console.log("ok      goes on by itself after the API server was frozen for 8 s");
  outside.on("dialog", (dialog) => dialog.accept());
  await outside.click("#run-0-actions [data-request=abort]");
  await until("abort", 60_000, async () => (await text(outside, "#run-0-head")).includes("Aborted"));
  await picture(outside, "live-aborted-1280x800");
  assert.deepEqual(outside.faults, []);
  await outside.close();
  await stop(board);
  console.log("ok      rerun and abort take effect");
} catch (error) {
  code = 1;
  console.log(`FAILED  the page of a live run\n${error.stack}`);
} finally {
  await browser.close();
  execFileSync(PROGRAM, ["demo-down", "--state", dir], { stdio: "ignore" });
}
process.exit(code);
