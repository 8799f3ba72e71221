// The page of stored runs in a real browser: what it shows, that it counts, keys, sizes, themes, a
// lost connection, first paint. In: the environment that `run` sets. Out: an exit code, pictures.

import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { check, folder, launch, live, open, picture, resize, sleep, start, stop, text, until } from "./driver.mjs";
import { cold, long, warm } from "./runs.mjs";

const dir = folder();
const stored = (name, runs) => {
  const file = join(dir, `${name}.json`);
  writeFileSync(file, JSON.stringify({ apiVersion: "v1", kind: "List", items: runs }));
  return file;
};
const replay = (file, speed) => start(["dashboard", "--no-open", "--replay", file, "--speed", String(speed)]);
const grouped = (number) => number.toLocaleString("en-US");

const browser = await launch();
let failed = 0;
async function test(name, body) {
  const began = Date.now();
  try {
    await body();
    console.log(`ok      ${name} (${((Date.now() - began) / 1_000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}

await test("a cold run in real time: countdown, ribbon, figures, marks", async () => {
  const started = await replay(stored("cold", [cold()]), 1);
  const page = await open(browser, started);
  await until("first phase", 10_000, async () => (await text(page, "#run-0-clocks")).includes("Phase baseline"));
  const left = async () => Number((await text(page, "#run-0-clocks .countdown")).replace("s", ""));
  const [before, began] = [await left(), Date.now()];
  await sleep(4_000);
  const expected = before - (Date.now() - began) / 1_000;
  assert.ok(Math.abs((await left()) - expected) <= 1, `the countdown shows ${await left()} instead of ${expected}`);
  await until("peak", 40_000, async () => (await text(page, "#run-0-clocks")).includes("Phase peak (3 of 4)"));
  await sleep(6_000);
  await picture(page, "cold-running-1280x800");
  await check(page, "a run at 1280×800");
  assert.match(await text(page, "#run-0-figures"), /Throttled\s+[\d,]{5,}/);
  assert.deepEqual(page.faults, []);
  await page.close();
  await stop(started);
});

await test("cold beside warm: all phases, totals, sizes, themes, keys", async () => {
  const runs = [cold(), warm()];
  const started = await replay(stored("both", runs), 20);
  const page = await open(browser, started);
  await until("the end", 20_000, async () => (await text(page, "#run-1-head")).includes("Succeeded"));
  assert.match(await text(page, "#verdict"), /cold/i);
  const tables = await text(page, "#tables");
  for (const { status } of runs) {
    for (const phase of status.phases) {
      assert.ok(tables.includes(phase.name), phase.name);
      assert.ok(tables.includes(grouped(phase.accepted)) && tables.includes(grouped(phase.throttled)), `${phase.name}: ${tables}`);
    }
  }
  assert.ok((await text(page, "#run-0-figures")).includes(grouped(runs[0].status.totals.throttled)));
  assert.match(await text(page, "#run-1-figures"), /Throttled\s+0/);
  for (const theme of ["light", "dark"]) {
    await page.keyboard.press("t");
    assert.equal(await page.$eval("html", (root) => root.dataset.theme), theme);
    await resize(page, "desk");
    await picture(page, `cold-and-warm-1280x800-${theme}`);
    await check(page, `1280×800 ${theme}`);
    await resize(page, "phone");
    await picture(page, `cold-and-warm-390x844-${theme}`);
    await check(page, `390×844 ${theme}`);
  }
  await page.keyboard.press("p");
  assert.ok(page.url().endsWith("?presenter"), page.url());
  await resize(page, "room");
  await picture(page, "cold-and-warm-1920x1080-presenter");
  await check(page, "1920×1080 presenter");
  assert.ok(await page.evaluate(() => document.documentElement.scrollHeight <= window.innerHeight), "the presenter's view is one screen");
  await page.keyboard.press("Escape");
  assert.equal(page.url(), started.address);
  await resize(page, "desk");
  await page.keyboard.press("l");
  await page.waitForSelector("#runs table");
  await live(page);
  await picture(page, "list-1280x800-dark");
  await check(page, "the list");
  for (const box of await page.$$("#runs input")) await box.click();
  await sleep(1_200);
  await page.click("#runs [data-do=beside]");
  await page.waitForSelector("#run-1-head h2");
  assert.ok(page.url().endsWith("/show?run=1&run=2"), page.url());
  assert.deepEqual(page.faults, []);
  await page.close();
  await stop(started);
});

await test("a lost connection shows and heals, an ended server shows", async () => {
  const started = await replay(stored("lost", [cold()]), 20);
  const page = await open(browser, started);
  page.mayFail = true;
  started.child.kill("SIGSTOP");
  await page.waitForSelector('#connection[data-state="lost"]', { timeout: 10_000 });
  started.child.kill("SIGCONT");
  await live(page);
  await stop(started);
  await page.waitForSelector('#connection[data-state="lost"]', { timeout: 10_000 });
  await page.close();
});

await test("markup in a replay stays text", async () => {
  const odd = cold();
  const script = "<script>window.hacked = 1</script><img src=x onerror='window.hacked=1'>";
  odd.spec.demo = script;
  odd.spec.streamName = script;
  odd.status.message = script;
  odd.status.phases.forEach((phase) => { phase.name = script; });
  odd.status.marks.forEach((mark) => { mark.text = script; });
  const started = await replay(stored("odd", [odd]), 1_000);
  const page = await open(browser, started);
  await until("the end", 10_000, async () => (await text(page, "#run-0-head")).includes("Succeeded"));
  await sleep(1_200);
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.ok((await text(page, "#run-0-head")).includes("<script>"));
  await resize(page, "phone");
  await check(page, "markup in names, 390×844");
  assert.deepEqual(page.faults, []);
  await page.close();
  await stop(started);
});

await test("eight hours: size, first paint, processor", async () => {
  const started = await replay(stored("long", [long()]), 300);
  const paints = [];
  for (let round = 0; round < 3; round += 1) {
    const page = await open(browser, started);
    paints.push(await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0));
    if (round === 2) {
      await resize(page, "desk");
      const session = await page.createCDPSession();
      await session.send("Performance.enable");
      const busy = async () => (await session.send("Performance.getMetrics")).metrics.find(({ name }) => name === "TaskDuration").value;
      const [before, began] = [await busy(), Date.now()];
      await sleep(10_000);
      const share = (100 * (await busy() - before)) / ((Date.now() - began) / 1_000);
      paints.sort((one, other) => one - other);
      console.log(`        first paint ${paints[1].toFixed(0)} ms, main thread ${share.toFixed(0)} % of a core`);
      await picture(page, "eight-hours-1280x800");
      await check(page, "eight hours");
      // Only on an idle machine do these say something about the page.
      if (process.env.KINESISDEMO_PAGE_IDLE === "1") {
        assert.ok(paints[1] < 500, `first paint after ${paints[1]} ms`);
        assert.ok(share < 20, `${share} % of a core`);
      }
      assert.deepEqual(page.faults, []);
    }
    await page.close();
  }
  await stop(started);
});

await browser.close();
process.exit(failed ? 1 : 0);
