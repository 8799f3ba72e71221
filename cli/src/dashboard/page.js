// The page's script: replaces the parts that the server sends, counts between updates, keys and
// buttons. In: server-sent events. Out: the document. No library, nothing loaded from elsewhere.
"use strict";

const root = document.documentElement;
const THEMES = ["system", "light", "dark"];
const remembered = (key) => { try { return localStorage.getItem(key); } catch { return null; } };
const remember = (key, value) => { try { localStorage.setItem(key, value); } catch { /* for this page only */ } };

let theme = THEMES.includes(remembered("theme")) ? remembered("theme") : "system";
const showTheme = () => {
  if (theme === "system") root.removeAttribute("data-theme");
  else root.setAttribute("data-theme", theme);
  const name = document.getElementById("theme");
  if (name) name.textContent = theme;
};
// Before the first paint: this script is not deferred.
showTheme();
const query = new URLSearchParams(location.search);
root.classList.toggle("presenter", query.has("presenter"));

// The server's clock, between its updates. It never goes back by less than a glance.
const clock = { now: Date.now(), at: performance.now(), speed: 1 };
const serverNow = () => clock.now + (performance.now() - clock.at) * clock.speed;
function setClock(now, speed) {
  const jump = Math.abs(now - serverNow());
  if (jump > 300 * Math.max(speed, 1) || speed !== clock.speed) {
    Object.assign(clock, { now, at: performance.now(), speed });
  }
}

// As `countdown` in cli/src/render/number.rs: rounded up, so that zero is shown only at the end.
function countdown(millis) {
  const seconds = Math.max(0, Math.ceil(millis / 1000));
  const two = (number) => String(number).padStart(2, "0");
  if (seconds < 60) return `${seconds}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)}h${two(Math.floor((seconds % 3600) / 60))}m`;
  return `${Math.floor(seconds / 86400)}d${two(Math.floor((seconds % 86400) / 3600))}h`;
}

function tick() {
  const now = serverNow();
  for (const element of document.querySelectorAll(".countdown")) {
    const text = countdown(Number(element.dataset.until) - now);
    if (element.textContent !== text) element.textContent = text;
  }
  for (const line of document.querySelectorAll(".ribbon-now")) {
    const from = Number(line.dataset.from);
    const share = Math.min(1, Math.max(0, (now - from) / (Number(line.dataset.until) - from)));
    const x = `${(100 * share).toFixed(2)}%`;
    line.setAttribute("x1", x);
    line.setAttribute("x2", x);
  }
}

// What a user has opened, chosen or focused in a part stays so when the part is replaced.
const isSame = (one, other) =>
  one.tagName === other.tagName && one.id === other.id && one.getAttribute("href") === other.getAttribute("href") &&
  one.dataset.request === other.dataset.request && one.dataset.demo === other.dataset.demo &&
  one.dataset.choice === other.dataset.choice && one.dataset.do === other.dataset.do;

function replace(part, html) {
  const opened = [...part.querySelectorAll("details")].map((element) => element.open);
  const chosen = new Set([...part.querySelectorAll("input:checked")].map((element) => element.dataset.choice));
  const scrolled = [...part.querySelectorAll(".scroll")].map((element) => element.scrollLeft);
  const focused = part.contains(document.activeElement) ? document.activeElement : null;
  part.innerHTML = html;
  part.querySelectorAll("details").forEach((element, index) => {
    if (index in opened) element.open = opened[index];
  });
  part.querySelectorAll("input[data-choice]").forEach((element) => { element.checked = chosen.has(element.dataset.choice); });
  part.querySelectorAll(".scroll").forEach((element, index) => { element.scrollLeft = scrolled[index] ?? 0; });
  if (focused) [...part.querySelectorAll(focused.tagName)].find((element) => isSame(element, focused))?.focus({ preventScroll: true });
}

// A name that does not fit into its phase is left out; the plots and the table have it.
function fitRibbons() {
  for (const phase of document.querySelectorAll(".ribbon svg")) {
    const width = phase.querySelector("rect").getBoundingClientRect().width;
    for (const text of phase.querySelectorAll("text")) {
      text.classList.toggle("hidden", text.getComputedTextLength() + 10 > width);
    }
  }
}

// Another program may listen at this address when ours has ended. It does not know the witness, and
// is not believed.
let witness = remembered("witness");
function isOurs(message) {
  witness ??= message.witness;
  return typeof message.witness === "string" && message.witness === witness;
}

function update({ now, speed, parts }) {
  setClock(now, speed);
  for (const [id, html] of Object.entries(parts)) {
    const part = document.getElementById(id);
    if (part) replace(part, html);
  }
  fitRibbons();
  tick();
}

const phone = matchMedia("(max-width: 640px)");
const screenName = () => (root.classList.contains("presenter") ? "presenter" : phone.matches ? "phone" : "desk");

// In a room the figures are drawn for the room that there is.
let drawnFor = null;
function roomQuery() {
  const plots = document.getElementById("plots");
  if (!plots || screenName() !== "presenter") return "";
  const { width, height } = plots.getBoundingClientRect();
  drawnFor = { width, height };
  return `&width=${Math.round(width)}&height=${Math.round(height)}&font=${Math.floor(parseFloat(getComputedStyle(root).fontSize))}`;
}

let redraw = 0;
function roomChanged([{ contentRect: { width, height } }]) {
  const isOther = !drawnFor || Math.abs(width - drawnFor.width) > 4 || Math.abs(height - drawnFor.height) > 4;
  if (screenName() !== "presenter" || !isOther) return;
  clearTimeout(redraw);
  redraw = setTimeout(connect, 300);
}

let source = null;
let lastUpdate = 0;
let retry = 0;

function connection(state, text) {
  const element = document.getElementById("connection");
  if (element.dataset.state === state) return;
  element.dataset.state = state;
  element.textContent = text;
}

function connect() {
  if (stopped) return;
  clearTimeout(retry);
  source?.close();
  const address = document.body.dataset.events;
  source = new EventSource(`${address}${address.includes("?") ? "&" : "?"}screen=${screenName()}${roomQuery()}`);
  lastUpdate = performance.now();
  source.addEventListener("parts", (message) => {
    const parsed = JSON.parse(message.data);
    if (!isOurs(parsed)) {
      stop("Another program answers at this address. Close this tab; start the command line again and open its file.");
      return;
    }
    lastUpdate = performance.now();
    connection("live", "live");
    update(parsed);
  });
  // The browser tries again by itself after a broken connection, but not after a refusal.
  source.onerror = () => {
    connection("lost", "Connection to the command line lost: trying again. Has it ended? Then start it and open its file again.");
    if (source.readyState === EventSource.CLOSED) retry = setTimeout(connect, 2000);
  };
}

let stopped = false;
function stop(why) {
  stopped = true;
  clearTimeout(retry);
  source?.close();
  connection("foreign", why);
}

function watchdog() {
  if (stopped || performance.now() - lastUpdate < 5000) return;
  connection("lost", "No update for 5 seconds: trying again.");
  connect();
}

async function request(button) {
  const { request: verb, demo, run, question } = button.dataset;
  if (question && !confirm(question)) return;
  const answer = document.getElementById("answer");
  answer.textContent = "Sending the request …";
  button.disabled = true;
  try {
    const response = await fetch(`/requests/${verb}`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-kinesisdemo-key": remembered("key") ?? "" },
      body: JSON.stringify({ demo, run: run === undefined ? null : Number(run) }),
    });
    const text = await response.text();
    answer.textContent = response.ok ? text : `Not done: ${text}`;
    answer.classList.toggle("serious", !response.ok);
  } catch {
    answer.textContent = "Not done: the command line did not respond.";
    answer.classList.add("serious");
  }
  setTimeout(() => { answer.textContent = ""; }, 10000);
}

const actions = {
  presenter() {
    const on = root.classList.toggle("presenter");
    if (on) query.set("presenter", ""); else query.delete("presenter");
    const search = query.toString().replace(/presenter=(?=&|$)/, "presenter");
    history.replaceState(null, "", search ? `${location.pathname}?${search}` : location.pathname);
    showPresenter();
    connect();
  },
  theme() {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    remember("theme", theme);
    showTheme();
  },
  beside() {
    const chosen = [...document.querySelectorAll("input[data-choice]:checked")].map((element) => element.dataset.choice);
    if (chosen.length > 0) location.assign(`/show?${chosen.slice(0, 4).join("&")}`);
  },
  list() { location.assign("/list"); },
};
const KEYS = { p: "presenter", t: "theme", l: "list" };

function showPresenter() {
  const on = String(root.classList.contains("presenter"));
  document.querySelector("[data-do=presenter]")?.setAttribute("aria-pressed", on);
}

document.addEventListener("DOMContentLoaded", () => {
  const { now, speed } = document.body.dataset;
  setClock(Number(now), Number(speed));
  showTheme();
  showPresenter();
  connect();
  setInterval(tick, 200);
  setInterval(watchdog, 1000);
  phone.addEventListener("change", connect);
  const plots = document.getElementById("plots");
  if (plots) new ResizeObserver(roomChanged).observe(plots);
  addEventListener("resize", fitRibbons);
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.dataset.do) actions[button.dataset.do]?.();
    if (button?.dataset.request) request(button);
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
    if (event.key === "Escape" && root.classList.contains("presenter")) actions.presenter();
    else if (KEYS[event.key]) actions[KEYS[event.key]]();
  });
});
