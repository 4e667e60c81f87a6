// What the pages need beyond htmx: the stream of changes, the stack of panes, menus, copying and selecting.
"use strict";

// ---- Changes: what has changed is fetched again, where it is seen.

let stream = null;

function watch() {
  const address = document.body.dataset.events;
  if (!address || stream || document.hidden) return;
  stream = new EventSource(address);
  stream.addEventListener("changed", (event) => refresh(event.data));
  stream.addEventListener("resync", refreshAll);
  stream.addEventListener("numbers", numbers);
  stream.addEventListener("over", () => location.reload());
  // Nothing is missed while the stream was away: what is seen is fetched once more when it is back.
  stream.addEventListener("open", () => { if (stream.lost) refreshAll(); stream.lost = false; });
  stream.addEventListener("error", () => {
    stream.lost = true;
    if (stream.readyState === EventSource.CLOSED) { // the browser has given up
      stream = null;
      setTimeout(() => { watch(); refreshAll(); }, 3000);
    }
  });
}

// Pages that nobody looks at have no stream: browsers open only few connections at a time.
function look() {
  if (document.hidden && stream) { stream.close(); stream = null; }
  if (!document.hidden && !stream) { watch(); refreshAll(); }
}

function refresh(id) {
  const row = document.getElementById("lb-" + id);
  const list = document.getElementById("balancers");
  if (row || list) fetchAgain(row || list);
  for (const part of document.querySelectorAll("[data-live]")) {
    if (part !== list) fetchAgain(part);
  }
}

function refreshAll() {
  for (const part of document.querySelectorAll("[data-live]")) fetchAgain(part);
}

// One request at a time for each part; what changes meanwhile is fetched afterwards, by the address that the part has then.
const fetching = new Set();
const wanted = new Set();

function fetchAgain(part) {
  if (fetching.has(part.id)) { wanted.add(part.id); return; }
  fetching.add(part.id);
  htmx.trigger(part, "refresh");
  if (!part.classList.contains("htmx-request")) { // somebody has just clicked here: after that
    fetching.delete(part.id);
    setTimeout(() => { const now = document.getElementById(part.id); if (now) fetchAgain(now); }, 150);
  }
}

document.addEventListener("htmx:afterRequest", (event) => {
  const id = event.detail.elt.id;
  if (!fetching.delete(id) || !wanted.delete(id)) return;
  const part = document.getElementById(id);
  if (part) fetchAgain(part);
});

// A row that is gone: the list is fetched, with its counts.
document.addEventListener("htmx:beforeSwap", (event) => {
  const target = event.detail.target;
  if (event.detail.xhr.status === 404 && target && target.id && target.id.startsWith("lb-")) {
    event.detail.shouldSwap = false;
    fetchAgain(document.getElementById("balancers"));
  }
});

// ---- Panes: each slides over the one before; the topmost has the keyboard.

const panes = () => [...document.querySelectorAll("#panes > .pane")];
const openers = [];

function closeTop() {
  const top = panes().pop();
  if (top) top.remove();
}

function isTouched(pane) {
  return pane.dataset.touched === "yes";
}

function leaveTop() {
  const top = panes().pop();
  if (top && (!isTouched(top) || confirm("Discard what you typed?"))) closeTop();
}

function arrange() {
  const open = panes();
  for (const part of document.querySelectorAll("body > .top, body > .frame")) part.inert = open.length > 0;
  open.forEach((pane, i) => { pane.inert = i < open.length - 1; });
  while (openers.length < open.length) openers.push(document.activeElement);
  let last = null;
  while (openers.length > open.length) last = openers.pop();
  const top = open[open.length - 1];
  if (top && !top.contains(document.activeElement)) focusIn(top);
  if (!top && last) focusAgain(last);
}

function focusIn(pane) {
  const first = pane.querySelector("[aria-invalid]") || pane.querySelector(".pane-body :is(input:not([type=hidden]), select, textarea, a, button)");
  (first || pane.querySelector("a, button")).focus({ preventScroll: false });
}

// What opened a pane may have been fetched again since.
function focusAgain(element) {
  const again = element.isConnected ? element : element.id && document.getElementById(element.id);
  const shown = again && again.closest(".menu") ? again.closest(".menu").querySelector("summary") : again;
  (shown || document.getElementById("main")).focus({ preventScroll: true });
}

document.addEventListener("click", (event) => {
  const closer = event.target.closest("#panes [data-close], #panes [data-back]");
  if (closer) {
    event.preventDefault();
    if (closer.matches("[data-close]")) document.getElementById("panes").replaceChildren();
    else closeTop();
  }
});

document.addEventListener("input", (event) => {
  const pane = event.target.closest(".pane");
  if (pane) pane.dataset.touched = "yes";
});

document.addEventListener("done", (event) => {
  document.getElementById("panes").replaceChildren();
  if (document.querySelector(".pane-page")) location.assign(document.querySelector("nav.side").dataset.list); // a pane of its own
  say(event.detail.value, "notice");
});

document.addEventListener("changed", (event) => refresh(event.detail.value));

document.addEventListener("problem", (event) => say(event.detail.value, "alert"));

document.addEventListener("htmx:sendError", () => say("The server does not answer.", "alert"));

function say(text, kind) {
  const message = document.createElement("div");
  message.className = kind;
  message.textContent = text;
  document.getElementById("messages").append(message);
  setTimeout(() => message.remove(), kind === "alert" ? 10000 : 5000);
}

// ---- Menus, keyboard

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (menu !== except) menu.open = false;
  }
}

document.addEventListener("click", (event) => {
  closeMenus(event.target.closest(".menu-item") ? null : event.target.closest("details.menu"));
});

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") {
    const menu = document.querySelector("details.menu[open]");
    if (menu) { menu.open = false; menu.querySelector("summary").focus(); } else leaveTop();
  }
  const tab = event.target.closest('[role="tab"]');
  if (tab && (event.key === "ArrowRight" || event.key === "ArrowLeft")) {
    const all = [...tab.parentElement.querySelectorAll('[role="tab"]')];
    const step = event.key === "ArrowRight" ? 1 : all.length - 1;
    all[(all.indexOf(tab) + step) % all.length].focus();
  }
});

// A click anywhere on a pool's line shows its members.
document.addEventListener("click", (event) => {
  const line = event.target.closest("[data-follow]");
  if (line && !event.target.closest("a, button, input, summary") && !String(getSelection())) {
    document.getElementById(line.dataset.follow).click();
  }
});

// ---- Copying, selecting, choosing

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  copy(button.dataset.copy).then(() => say("Copied " + button.dataset.copy, "notice"));
});

async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = document.createElement("textarea"); // for pages without TLS
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-submit]")) event.target.form.submit();
  if (event.target.matches("[data-all]")) {
    for (const box of event.target.closest("table").querySelectorAll("[data-one]")) box.checked = event.target.checked;
  }
  if (event.target.matches("[data-all], [data-one]")) count();
});

function count() {
  const bar = document.querySelector(".bulk-bar");
  if (!bar) return;
  const chosen = document.querySelectorAll("[data-one]:checked").length;
  bar.hidden = chosen === 0;
  bar.querySelector("[data-chosen]").textContent = chosen;
}

// ---- What a person has opened or ticked stays so when its surroundings are fetched again.

Idiomorph.defaults.callbacks.beforeAttributeUpdated = (name, element) =>
  !(name === "open" && element.matches("details")) && !(name === "checked" && element.matches("[data-one], [data-all]"));

// What is typed while a form's dropdowns are fetched stays as well: the answer knows only what was typed before.
const own = "[data-one], [data-all], .pane input, .pane textarea, [data-chart]";

const chosen = new Map(); // the dropdowns' lines, by the dropdowns

Idiomorph.defaults.callbacks.beforeNodeMorphed = (element) => {
  if (element.nodeType !== Node.ELEMENT_NODE) return true;
  if (element.matches(".pane select")) chosen.set(element, element.value);
  return !element.matches(own);
};

Idiomorph.defaults.callbacks.afterNodeMorphed = (element) => {
  const line = chosen.get(element);
  chosen.delete(element);
  if (line !== undefined && [...element.options].some((option) => option.value === line)) element.value = line;
};

document.addEventListener("htmx:afterSettle", count);
document.addEventListener("visibilitychange", look);
document.addEventListener("DOMContentLoaded", () => {
  const place = document.getElementById("panes");
  if (place) new MutationObserver(arrange).observe(place, { childList: true });
  watch();
});

// ---- Charts: uPlot draws what the server counted; only while a chart is on the page are numbers fetched.

const drawn = new WeakMap();

function paint(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }

async function chart(place) {
  const answer = await fetch(place.dataset.chart, { headers: { "HX-Request": "true" } });
  if (!answer.ok || !place.isConnected) return;
  const series = await answer.json();
  const mine = (series.objects || []).find((object) => object.object_id === place.dataset.object);
  const count = mine ? mine.active.length : 0;
  const start = Date.parse(series.from) / 1000;
  const times = Array.from({ length: count }, (_, i) => start + i * series.step);
  const each = (column, by) => mine[column].map((n) => n * by / series.step);
  const data = mine ? [times, each("connections", 1), each("requests", 1), each("errors", 1), each("bytes_in", 8 / 1e6), each("bytes_out", 8 / 1e6)] : [[], [], [], [], [], []];
  const known = drawn.get(place);
  if (known && known.width === place.clientWidth) { known.setData(data); return; }
  if (known) known.destroy();
  const line = (label, color, scale, dash) => ({ label, stroke: paint(color), width: 1.5, scale, dash, points: { show: false }, value: (_, n) => n == null ? "–" : n.toPrecision(3) });
  const axis = (more) => ({ stroke: paint("--faint"), grid: { stroke: paint("--line"), width: 1 }, ticks: { show: false }, ...more });
  drawn.set(place, new uPlot({
    width: place.clientWidth, height: 220, cursor: { drag: { x: false, y: false } },
    scales: { mbit: { auto: true } },
    axes: [axis({}), axis({ label: "each second", size: 56 }), axis({ scale: "mbit", side: 1, label: "Mbit/s", size: 56, grid: { show: false } })],
    series: [{}, line("Connections/s", "--busy"), line("Requests/s", "--ok"), line("Errors/s", "--bad"),
      line("In Mbit/s", "--warn", "mbit", [4, 3]), line("Out Mbit/s", "--faint", "mbit", [4, 3])],
  }, data, place));
}

function charts() {
  for (const place of document.querySelectorAll("[data-chart]")) chart(place);
}

function numbers() {
  for (const place of document.querySelectorAll("[data-chart]")) fetchAgain(place.closest("[hx-get]"));
}

document.addEventListener("htmx:afterSettle", charts);
document.addEventListener("DOMContentLoaded", charts);
window.addEventListener("resize", charts);
