// How busy the machine is, and how busy a program and its children are. In: /proc. Out: seconds of
// a processor. Where there is no /proc (not Linux), nothing is known.

import { readFileSync, readdirSync } from "node:fs";

import { sleep } from "./driver.mjs";

/// The kernel counts in hundredths of a second.
const TICKS = 100;

/// The seconds that all processors together have worked.
export function worked() {
  try {
    const [user, nice, system, , , irq, soft] = readFileSync("/proc/stat", "utf8").split("\n")[0].trim().split(/\s+/).slice(1).map(Number);
    return (user + nice + system + irq + soft) / TICKS;
  } catch {
    return undefined;
  }
}

/// The seconds that these processes and their descendants have worked.
export function workedBy(roots) {
  const processes = new Map();
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
      const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      processes.set(Number(pid), { parent: Number(fields[1]), seconds: (Number(fields[11]) + Number(fields[12])) / TICKS });
    } catch { /* it has just ended */ }
  }
  const isOurs = (pid) => roots.includes(pid) || (processes.has(pid) && isOurs(processes.get(pid).parent));
  return [...processes.keys()].filter(isOurs).reduce((sum, pid) => sum + processes.get(pid).seconds, 0);
}

/// Waits until others leave the machine alone for two seconds: less than a tenth of a processor. How
/// much they used at last, as a share of a processor; undefined if that is not known.
export async function quiet(millis) {
  const end = Date.now() + millis;
  for (;;) {
    const [before, began] = [worked(), Date.now()];
    await sleep(2_000);
    const share = (1_000 * (worked() - before)) / (Date.now() - began);
    if (Number.isNaN(share)) return undefined;
    if (share < 0.1 || Date.now() > end) return share;
  }
}
