// Looks at the page of a run again and again while the run goes on. In: a page, the run's cluster.
// Out: the phases that were shown, each mark when it first appeared, the last curves, the greatest
// error of the countdown.

import assert from "node:assert/strict";

import { drawn } from "./curves.mjs";
import { sleep, text } from "./driver.mjs";

/// A countdown as the page shows it, in seconds.
function seconds(shown) {
  const [, hours, minutes, rest] = shown.match(/^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?$/);
  return 3_600 * Number(hours ?? 0) + 60 * Number(minutes ?? 0) + Number(rest ?? 0);
}

/// Compares the countdown of the phase with `status.phase.endsAt`. It shows whole seconds, rounded
/// up: half a second too much on average. Out: how far it is from that; undefined between phases.
export async function countdownError(page, cluster, demo) {
  const shown = await page.evaluate(() => {
    const clock = document.querySelector("#run-0-clocks .clock");
    const counter = clock?.querySelector(".countdown");
    if (!counter || !clock.textContent.includes("Phase ")) return null;
    return { text: counter.textContent, phase: clock.querySelector("b").textContent, now: Date.now() };
  });
  const status = (await cluster.demo(demo))?.status;
  if (!shown || status?.phase?.name !== shown.phase || status.stage !== "Running") return undefined;
  const left = (Date.parse(status.phase.endsAt) - shown.now) / 1_000;
  return seconds(shown.text) - 0.5 - left;
}

/// Throttling began within the first interval that has throttled records, however long that is; what
/// else happened was observed when it is drawn.
function widthOf(plot, text, at) {
  if (!text.startsWith("first records throttled")) return 0;
  const interval = plot.series.throttled?.find(({ from, until }) => from <= at + plot.pixel && at < until - plot.pixel);
  return interval ? (interval.until - interval.from) / 1_000 : 0;
}

/// What was seen of a run.
export class Seen {
  phases = new Set();
  /// By text: the instant as drawn when the mark first appeared, and how exactly it can be known.
  marks = new Map();
  plot = null;

  /// Looks once.
  async look(page) {
    const clocks = await text(page, "#run-0-clocks");
    const phase = clocks.match(/Phase (\S+) \(/);
    if (phase) this.phases.add(phase[1]);
    const [plot] = await drawn(page);
    if (!plot) return clocks;
    if (Object.keys(plot.series).length > 0) this.plot = plot;
    for (const { number, text } of plot.list) {
      const at = plot.marks.find((mark) => mark.number === number)?.at;
      // A mark from long before the traffic is not on the axis, only in the list.
      if (at !== undefined && !this.marks.has(text)) this.marks.set(text, { at, width: widthOf(plot, text, at) });
    }
    return clocks;
  }

  /// Looks until `ended` says so, and calls `onLook` with the clocks' text.
  async watch(page, ended, onLook = async () => {}) {
    while (!ended()) {
      try {
        await onLook(await this.look(page));
      } catch (error) {
        // The document may be replaced while it is looked at; an assertion is never lost.
        if (error instanceof assert.AssertionError) throw error;
      }
      await sleep(150);
    }
  }
}

/// Compares drawn marks with a record. Out: the greatest difference in seconds, and what is wrong.
/// `step` is how finely the recorder observes.
export function compareMarks(marks, record, step) {
  const wrong = [];
  let greatest = 0;
  for (const [text, { at, width }] of marks) {
    const recorded = record.status.marks.filter((mark) => mark.text === text);
    if (recorded.length === 0) {
      wrong.push(`“${text}” is not on record: ${JSON.stringify(record.status.marks)}`);
      continue;
    }
    const off = Math.min(...recorded.map((mark) => Math.abs(Date.parse(mark.at) - at))) / 1_000;
    greatest = Math.max(greatest, off);
    if (off > Math.max(step, width + 1)) wrong.push(`“${text}” is drawn ${off.toFixed(2)} s from its instant`);
  }
  return { greatest, wrong };
}
