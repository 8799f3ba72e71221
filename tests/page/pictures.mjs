// Makes the pictures of README and documentation, docs/pictures/*.png: the report and the page of recorded
// runs, in a real browser. In: the environment that `run` sets; examples/runs. Out: the files.
//
// Nothing on the screen is hidden or changed; a picture is a part of it. The runs are over, and the font is
// pinned with the browser's driver. So the same browser makes the same bytes again; another version of
// Chromium may draw the edges of letters differently. Look at each picture before you commit it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

import { PROGRAM, check, folder, launch, open, sleep, start, stop, text, until } from "./driver.mjs";

const require = createRequire(`${process.env.NODE_PATH}/`);
const UPNG = require("upng-js");
const RECORD = "examples/runs/cold-and-warm.json";
const FOLDER = "docs/pictures";
/// A palette makes small files (tests/docs/test_pictures.py has their limit). With half as many, series change their colours.
const COLOURS = 256;

/// Page and report are written in the system's font: here, in that of a system that has only Inter.
function fonts() {
  const dir = folder();
  const file = join(dir, "fonts.conf");
  const inter = dirname(require.resolve("@expo-google-fonts/inter/package.json"));
  writeFileSync(file, `<?xml version="1.0"?><fontconfig><dir>${inter}</dir><cachedir>${dir}</cachedir></fontconfig>`);
  return file;
}

/// The PNG with a note that names the record: its SHA-256. tests/docs/test_pictures.py compares it with the file.
function noted(png) {
  const sum = createHash("sha256").update(readFileSync(RECORD)).digest("hex");
  const body = Buffer.from(`tEXtSource\0${RECORD} ${sum}`, "latin1");
  const [length, crc] = [Buffer.alloc(4), Buffer.alloc(4)];
  length.writeUInt32BE(body.length - 4);
  crc.writeUInt32BE(UPNG.crc.crc(body, 0, body.length) >>> 0);
  // After the signature (8 bytes) and IHDR (25 bytes), which must be first.
  return Buffer.concat([png.subarray(0, 33), length, body, crc, png.subarray(33)]);
}

/// The clip from the top of one element to the bottom of another, over the whole width, with a margin.
const between = (page, first, last) => page.evaluate((from, to) => {
  const top = document.querySelector(from).getBoundingClientRect().top - 12;
  const bottom = document.querySelector(to).getBoundingClientRect().bottom + 12;
  return { x: 0, y: Math.floor(top + scrollY), width: innerWidth, height: Math.ceil(bottom - top) };
}, first, last);

/// Two pictures of the same, light and dark.
async function take(page, name, options) {
  for (const theme of ["light", "dark"]) {
    await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: theme }]);
    await sleep(1_500);
    const shot = UPNG.decode(await page.screenshot(options));
    const bytes = noted(Buffer.from(UPNG.encode(UPNG.toRGBA8(shot), shot.width, shot.height, COLOURS)));
    const file = join(FOLDER, `${name}-${theme}.png`);
    writeFileSync(file, bytes);
    console.log(`${file}: ${shot.width}×${shot.height}, ${Math.ceil(bytes.length / 1024)} KiB`);
  }
}

process.env.FONTCONFIG_FILE = fonts();
mkdirSync(FOLDER, { recursive: true });
const browser = await launch();

// The report that compares both runs, down to its curves. The list of marks below them is closed.
const report = join(folder(), "compare.html");
execFileSync(PROGRAM, ["compare", "cold", "warm", "--file", RECORD, "--output-file", report], { stdio: "ignore" });
const sheet = await browser.newPage();
await sheet.setViewport({ width: 900, height: 800, deviceScaleFactor: 2 });
await sheet.goto(`file://${report}`);
for (const summary of await sheet.$$(".kd-on-wide .kd-marks-list summary")) await summary.click();
await sheet.mouse.move(0, 0);
await take(sheet, "cold-and-warm", { clip: await between(sheet, ".kd-over", ".kd-card") });

// The page in presenter mode, as the back of a room sees it.
const started = await start(["dashboard", "--no-open", "--replay", RECORD, "--speed", "10"]);
const page = await open(browser, started, "?presenter");
await page.setViewport({ width: 1440, height: 810 });
const ended = async (run) => (await text(page, `#run-${run}-head`)).includes("Succeeded");
await until("the end of both runs", 30_000, async () => (await ended(0)) && (await ended(1)));
await take(page, "page", {});
await check(page, "the page");
assert.deepEqual(page.faults, []);
await stop(started);
await browser.close();
