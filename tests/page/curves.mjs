// What the plots of a page really draw: paths back into rates, lines back into instants. In: a
// page. Out: series, marks. Uses only what is in the document: paths, and the axes' attributes.

/// Of each plot: its series as intervals with a value, its marks as instants (in milliseconds since
/// 1970), and the texts of the list beneath it.
export const drawn = (page) => page.evaluate(() => [...document.querySelectorAll("#plots .kd-figure")].map((figure) => {
  const svg = figure.querySelector("svg.kd-plot");
  const data = (element, name) => Number(element.dataset[name]);
  const zero = Date.parse(svg.dataset.zero);
  const [from, until, left, right] = ["from", "until", "left", "right"].map((name) => data(svg, name));
  const at = (x) => zero + 1_000 * (from + ((x - left) / (right - left)) * (until - from));
  const series = {};
  for (const panel of svg.querySelectorAll(".kd-panel")) {
    const [most, top, bottom] = ["most", "top", "bottom"].map((name) => data(panel, name));
    for (const path of panel.querySelectorAll("path[data-series]")) {
      const intervals = [];
      let [x, y] = [0, 0];
      for (const [, command, rest] of path.getAttribute("d").matchAll(/([A-Za-z])([^A-Za-z]*)/g)) {
        const numbers = rest.trim().split(/[ ,]+/).map(Number);
        if (command === "M") [x, y] = numbers;
        else if (command === "V") [y] = numbers;
        else if (command === "H") {
          intervals.push({ from: at(x), until: at(numbers[0]), value: (most * (bottom - y)) / (bottom - top) });
          [x] = numbers;
        } else throw new Error(`a series has the command ${command}`);
      }
      series[path.dataset.series.replace("kd-", "")] = intervals;
    }
  }
  const marks = [...svg.querySelectorAll("path[data-marks]")].flatMap((line) => {
    const x = Number(line.getAttribute("d").match(/^M([-\d.]+) /)[1]);
    return line.dataset.marks.split(" ").map((number) => ({ number: Number(number), at: at(x) }));
  });
  const list = [...figure.querySelectorAll(".kd-marks li")].map((item) => ({
    number: Number(item.querySelector(".kd-mark-number").textContent),
    text: item.querySelector(".kd-mark-text").textContent,
  }));
  return { from: at(left), until: at(right), pixel: at(1) - at(0), series, marks, list };
}));

/// The integral of a series over a phase. An interval belongs to the phase that its middle is in:
/// horizontally a tenth of a pixel is some milliseconds, which beside a peak are many records.
export function integral(intervals, phase) {
  const [from, until] = [Date.parse(phase.startedAt), Date.parse(phase.endedAt)];
  const within = (intervals ?? []).filter((interval) => {
    const middle = (interval.from + interval.until) / 2;
    return middle >= from && middle < until;
  });
  return within.reduce((sum, { from, until, value }) => sum + (value * (until - from)) / 1_000, 0);
}

/// Compares the curves of a plot with the phases of a report. Out: the greatest difference of each
/// series in percent, and what differs by more than 2 %.
export function compared(plot, phases) {
  const pairs = { target: "scheduled", offered: "offered", accepted: "accepted", throttled: "throttled", failed: "failed", dropped: "dropped" };
  const greatest = {};
  const wrong = [];
  for (const phase of phases) {
    for (const [name, count] of Object.entries(pairs)) {
      const found = integral(plot.series[name], phase);
      const wanted = phase[count];
      // Two records are less than the least height that a path can have.
      const off = Math.abs(found - wanted);
      if (wanted >= 100) greatest[name] = Math.max(greatest[name] ?? 0, (100 * off) / wanted);
      if (off > Math.max(0.02 * wanted, 2)) wrong.push(`${phase.name}: ${name} is ${found.toFixed(1)} instead of ${wanted}`);
    }
  }
  const shown = Object.entries(greatest).map(([name, off]) => `${name} ${off.toFixed(2)} %`).join(", ");
  return { shown, wrong };
}
