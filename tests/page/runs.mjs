// Stored runs for the tests: a cold and a warm one of the same event, and one of eight hours. In:
// nothing. Out: KinesisDemoRuns.

const START = Date.UTC(2026, 10, 28, 10, 0, 0);
const at = (millis) => new Date(START + millis).toISOString().replace("Z", "000Z");
const EVENT = [["baseline", 10, 100, 0], ["spike", 12, 10_000, 4], ["peak", 15, 50_000, 0], ["decline", 10, 100, 0]];
const COUNTS = ["scheduled", "offered", "accepted", "throttled", "failed", "dropped", "unknown"];

const totalsOf = (points) => {
  const totals = { unoffered: 0, unreported: 0 };
  for (const count of COUNTS) totals[count] = points.reduce((sum, point) => sum + point[count], 0);
  return totals;
};

/// A run of these phases (name, seconds, rate, ramp), a point each `step` seconds. A cold stream accepts 4,000 a second at first.
function run(name, phases, step, isWarm) {
  const points = [];
  const reports = [];
  const marks = [];
  const capacity = [{ at: at(-9_000), tasksDesired: 0, tasksRunning: 0 }];
  const mark = (millis, kind, text) => marks.push({ at: at(millis), kind, text });
  mark(-11_000, "Stage", "Provisioning");
  if (isWarm) {
    mark(-8_000, "Stage", "Warming");
    capacity.push({ at: at(-8_000), shards: 4, warmTarget: 100, warmCurrent: 4, tasksDesired: 5, tasksRunning: 0 });
    mark(-5_000, "Warm", "warm throughput is 100 MiB/s");
  }
  mark(-4_000, "Stage", "Starting");
  let shards = isWarm ? 100 : 4;
  const step_ = (millis) => capacity.push({ at: at(millis), shards, tasksDesired: 5, tasksRunning: 5, ...(isWarm ? { warmTarget: 100, warmCurrent: 100 } : {}) });
  step_(-3_000);
  mark(0, "Stage", "Running");
  let begins = 0;
  let before = 0;
  phases.forEach(([phase, seconds, rate, ramp], index) => {
    let throttledYet = false;
    for (let second = 0; second < seconds; second += step) {
      const middle = second + step / 2;
      const target = middle < ramp ? before + ((rate - before) * middle) / ramp : rate;
      const scheduled = Math.round(target * step);
      const limit = shards * 1_000 * step;
      const accepted = Math.min(scheduled, limit);
      const lost = scheduled - accepted;
      points.push({ from: 1_000 * (begins + second), until: 1_000 * Math.min(begins + second + step, begins + seconds), phase: index, scheduled,
        offered: scheduled, accepted, throttled: 2 * lost, failed: Math.round(lost * 0.8), dropped: lost - Math.round(lost * 0.8), unknown: 0,
        p50: lost ? 240 : 6, p99: lost ? 1_900 : 31 });
      if (lost && !throttledYet) {
        throttledYet = true;
        mark(1_000 * (begins + second) + 400, "Throttle", `first records throttled in ${phase}`);
      }
      if (!isWarm && index === 2 && second === 3 * step) {
        shards = 8;
        step_(1_000 * (begins + second));
        mark(1_000 * (begins + second), "Split", "4 → 8 shards");
      }
    }
    reports.push({ name: phase, recordsPerSecond: rate, tasks: 5, startsAt: at(1_000 * begins), endsAt: at(1_000 * (begins + seconds)), begun: true,
      ...totalsOf(points.filter((point) => point.phase === index)), latencyMs: { p50: 8, p99: isWarm ? 33 : 1_900, max: 2_400 } });
    begins += seconds;
    before = rate;
  });
  const end = 1_000 * begins;
  mark(end, "Stage", "Draining: the schedule is complete");
  mark(end + 4_000, "Stage", "CleaningUp");
  mark(end + 7_000, "Stage", "Succeeded: the schedule is complete");
  const column = (key) => points.map((point) => point[key]);
  return {
    apiVersion: "kinesisdemo.io/v1alpha1", kind: "KinesisDemoRun",
    metadata: { name: `${name}-1-3f2a9`, namespace: "demos", labels: { "kinesisdemo.io/demo": name } },
    spec: { demo: name, demoUid: "3f2a9c1e-0000-4000-8000-000000000000", run: 1, accountId: "000000000000", region: "us-east-1",
      streamName: `kd-${name}-1`, settings: {}, operatorVersion: "0.1.0" },
    status: {
      stage: "Succeeded", outcome: "Succeeded", reason: "Completed", message: "the schedule is complete", startedAt: at(-11_000),
      trafficStartsAt: at(0), trafficEndsAt: at(end), finishedAt: at(end + 7_000), recordedAt: at(end + 7_000), phases: reports,
      totals: totalsOf(points), leftCount: 0,
      traffic: { origin: at(0), fromMs: column("from"), untilMs: column("until"), phase: column("phase"), p50Ms: column("p50"), p99Ms: column("p99"),
        ...Object.fromEntries(COUNTS.map((count) => [count, column(count)])) },
      capacity, marks,
    },
  };
}

export const cold = () => run("cold", EVENT, 1, false);
export const warm = () => run("warm", EVENT, 1, true);
export const long = () => run("eight-hours", Array.from({ length: 20 }, (_, index) => [`phase-${index}`, 1_440, index % 3 ? 9_000 : 2_000, 60]), 60, false);
