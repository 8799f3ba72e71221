// A run whose operator is killed three times, and whose object is deleted afterwards: report and
// page still show all of it. In: the environment that `run` sets. Out: an exit code, pictures.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";

import { Cluster } from "./cluster.mjs";
import { compared, drawn } from "./curves.mjs";
import { PROGRAM, check, folder, launch, live, open, picture, sleep, start, stop, text, until } from "./driver.mjs";

const COUNTS = ["scheduled", "offered", "accepted", "throttled", "failed", "dropped", "unknown"];
const dir = folder();
const cluster = new Cluster(join(dir, "demo"));
const browser = await launch();
let code = 0;

const countsOf = (phase) => Object.fromEntries(COUNTS.map((count) => [count, phase[count]]));

/// Kills the operator in a phase; before that, it does nothing for some time. When: from, until.
async function kill(phase, hangs = 0) {
  await until(`phase ${phase}`, 120_000, async () => (await cluster.demo("killed"))?.status?.phase?.name === phase);
  // In the middle of it.
  await sleep(3_000);
  const pid = cluster.pid("operator");
  const from = Date.now();
  if (hangs > 0) {
    process.kill(pid, "SIGSTOP");
    await sleep(hangs);
  }
  process.kill(pid, "SIGKILL");
  const at = Date.now();
  await until("another operator", 60_000, () => ![undefined, pid].includes(cluster.pid("operator")));
  const { status } = await until("an operator that takes over the run", 60_000, async () => {
    const demo = await cluster.demo("killed");
    return demo.status.traffic.sampledAt > new Date(at).toISOString() && demo;
  });
  const moved = status.control.interruptions?.length ?? 0;
  console.log(`        killed in ${phase}; ${((Date.now() - at) / 1_000).toFixed(1)} s later another operator had read the ledgers; the schedule moved ${moved} times so far`);
  return { from, until: at };
}

try {
  const demo = await start(["demo", "--keep", "--state", dir, "tests/page/kills.yaml"]);
  await kill("spike");
  // Long enough that nobody observed the run for longer than the record is old.
  const hung = await kill("peak", 18_000);
  await kill("decline");
  const { status } = await until("the end of the run", 90_000, async () => {
    const object = await cluster.demo("killed");
    return ["Succeeded", "Failed", "Aborted"].includes(object.status.stage) && object;
  });
  assert.equal(await demo.ended, 0, demo.output());
  assert.equal(status.stage, "Succeeded");
  await cluster.remove("killed");
  await until("the deletion", 60_000, async () => (await cluster.demo("killed")) === null);
  console.log("ok      the operator was killed in three phases, the run succeeded, the object is deleted");

  // The report: the counts of every phase, and points that add up to them.
  const record = await cluster.report("killed", 1);
  assert.deepEqual(record.status.phases.map(({ name, ...phase }) => [name, countsOf(phase)]), status.phases.map(({ name, ...phase }) => [name, countsOf(phase)]));
  const { traffic } = record.status;
  record.status.phases.forEach((phase, index) => {
    for (const count of COUNTS) {
      const sum = (traffic[count] ?? []).reduce((sum, value, at) => (traffic.phase[at] === index ? sum + value : sum), 0);
      assert.equal(sum, phase[count], `${phase.name}: ${count}`);
    }
  });
  const gaps = record.status.gaps ?? [];
  const [gap] = gaps.map(({ from, until }) => ({ from: Date.parse(from), until: Date.parse(until) }));
  assert.equal(gaps.length, 1, JSON.stringify(gaps));
  console.log(`        the operator did nothing for ${((hung.until - hung.from) / 1_000).toFixed(1)} s; the gap on record has ${((gap.until - gap.from) / 1_000).toFixed(1)} s`);
  // The record is at most ten seconds old, and written at once by the next operator.
  assert.ok(gap.from > hung.from - 12_000 && gap.from <= hung.from && gap.until >= hung.until && gap.until < hung.until + 10_000, JSON.stringify([gap, hung]));
  console.log("ok      the report has the whole run and names the gaps");

  // The page: from the list to the run.
  const board = await start(["dashboard", "--no-open", "-n", "default", "--kubeconfig", cluster.kubeconfig]);
  const page = await open(browser, board);
  await until("the past run", 10_000, async () => (await text(page, "#runs")).includes("killed"));
  assert.equal((await text(page, "#objects")).includes("killed"), false);
  await page.click("#runs tbody th a");
  await live(page);
  await until("the run", 10_000, async () => (await text(page, "#run-0-head")).includes("Succeeded"));
  await sleep(1_200);
  const [plot] = await drawn(page);
  const phases = status.phases.map((phase) => ({ ...phase, startedAt: phase.startsAt, endedAt: phase.endsAt }));
  const curves = compared(plot, phases);
  console.log(`        the curves differ from the final status by at most: ${curves.shown}`);
  assert.deepEqual(curves.wrong, []);
  assert.deepEqual(plot.list.map(({ text }) => text), record.status.marks.map(({ text }) => text));
  const shown = await page.$$eval("svg.kd-plot .kd-gap title", (titles) => titles.map((title) => title.textContent));
  assert.ok(shown.length === 1 && shown[0].startsWith("not observed: "), `${shown}`);
  const rows = await page.$$eval("#tables tbody tr", (rows) => rows.map((row) => row.innerText));
  for (const phase of status.phases) {
    const row = rows.find((row) => row.startsWith(phase.name));
    assert.ok(row?.includes(phase.accepted.toLocaleString("en-US")), `${phase.name}: ${rows}`);
  }
  await picture(page, "killed-1280x800");
  await check(page, "a run with gaps");
  assert.deepEqual(page.faults, []);
  await page.close();
  await stop(board);
  console.log("ok      the page has the whole run, from its list, and shows the gaps");
} catch (error) {
  code = 1;
  console.log(`FAILED  the page of a run whose operator was killed\n${error.stack}`);
} finally {
  await browser.close();
  execFileSync(PROGRAM, ["demo-down", "--state", dir], { stdio: "ignore" });
}
process.exit(code);
