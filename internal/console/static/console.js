// What the pages need beyond htmx: the stream of changes, the stack of panes, menus, copying and selecting.
"use strict";

// ---- Changes: what has changed is fetched again, where it is seen.

let stream = null;
let pause = 3000; // before a refused stream is asked for again, in ms

function watch() {
  const address = document.body.dataset.events;
  if (!address || stream || document.hidden) return;
  stream = new EventSource(address);
  stream.addEventListener("changed", (event) => refresh(event.data));
  stream.addEventListener("resync", refreshAll);
  stream.addEventListener("numbers", numbers);
  stream.addEventListener("over", () => location.reload());
  // Nothing is missed while the stream was away: what is seen is fetched once more when it is back.
  stream.addEventListener("open", () => { if (stream.lost) refreshAll(); stream.lost = false; pause = 3000; });
  stream.addEventListener("error", () => {
    stream.lost = true;
    if (stream.readyState === EventSource.CLOSED) { // the browser has given up
      stream = null;
      if (pause === 3000) whyRefused(address);
      setTimeout(() => { watch(); refreshAll(); }, pause);
      pause = Math.min(2 * pause, 60000);
    }
  });
}

// An EventSource does not tell what the server answered, so it is asked once more.
async function whyRefused(address) {
  const abort = new AbortController();
  const answer = await fetch(address, { headers: { "HX-Request": "true" }, signal: abort.signal }).catch(() => null);
  const problem = JSON.parse(answer?.headers.get("HX-Trigger") || "{}").problem;
  abort.abort();
  if (problem) say("This page does not update by itself. " + problem, "alert");
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
    fetchLater(part.id, 150);
  }
}

function fetchLater(id, pause) {
  setTimeout(() => { const part = document.getElementById(id); if (part) fetchAgain(part); }, pause);
}

// What rows show, which a click may change while they are fetched: the answer to what was asked before is then of no use.
const shown = (part) => [...part.querySelectorAll("[name=open]")].map((row) => row.value).join();

document.addEventListener("htmx:configRequest", (event) => {
  if (event.detail.triggeringEvent?.type !== "refresh") return;
  event.detail.headers["Console-Refresh"] = "yes";
  event.detail.shown = shown(event.detail.elt);
});

document.addEventListener("htmx:beforeSwap", (event) => {
  const before = event.detail.requestConfig.shown;
  const part = document.getElementById(event.detail.requestConfig.elt.id);
  if (before === undefined || !part || shown(part) === before) return;
  event.detail.shouldSwap = false;
  fetchLater(part.id, 20);
});

document.addEventListener("htmx:afterRequest", (event) => {
  const id = event.detail.elt.id;
  // Not at once: what ended the request may be a click, whose own is about to begin.
  if (fetching.delete(id) && wanted.delete(id)) fetchLater(id, 20);
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
  return pane.dataset.touched === "yes" || pane.querySelector(".field-bad, .alert") !== null;
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

// A form that comes back stays where it was scrolled to, and the keyboard at the button that was pressed, or the next of its kind.
let kept = null;

document.addEventListener("htmx:beforeSwap", (event) => {
  const pane = event.detail.target;
  if (!pane.matches || !pane.matches("#panes > .pane")) return;
  const at = document.activeElement;
  kept = { top: pane.querySelector(".pane-body").scrollTop, id: at.id, name: at.name, value: at.value };
});

function focusAsBefore(pane) {
  const before = kept;
  kept = null;
  if (!before || pane.querySelector("[aria-invalid]")) return false;
  const same = [...pane.querySelectorAll("button, input, select, textarea")].filter((e) => before.id ? e.id === before.id : before.name && e.name === before.name);
  const found = same.find((e) => e.value === before.value) || same[0];
  if (!found) return false;
  pane.querySelector(".pane-body").scrollTop = before.top;
  found.focus({ preventScroll: true });
  return true;
}

function focusIn(pane) {
  if (focusAsBefore(pane)) return;
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
    if (closer.matches("[data-back]")) closeTop();
    else if (!panes().some(isTouched) || confirm("Discard what you typed?")) document.getElementById("panes").replaceChildren();
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

// A pane that does not come at once is there in outline.
let outline = 0;

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.target.id !== "panes") return;
  outline = setTimeout(() => document.getElementById("panes").append(document.getElementById("outline").content.cloneNode(true)), 120);
});

document.addEventListener("htmx:beforeSwap", dropOutline);
document.addEventListener("htmx:afterRequest", dropOutline);

function dropOutline() {
  clearTimeout(outline);
  document.querySelector("#panes > .outline")?.remove();
}

// ---- Menus, keyboard

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (menu !== except) menu.open = false;
  }
}

document.addEventListener("click", (event) => {
  const item = event.target.closest("details.menu .menu-item");
  if (item) item.closest("details.menu").querySelector("summary").focus(); // the item goes out of sight
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
  copy(button.dataset.copy).then(() => say(button.dataset.says || "Copied " + button.dataset.copy, "notice"));
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
  document.querySelector("nav.side .current")?.scrollIntoView({ block: "nearest", inline: "center" });
  const place = document.getElementById("panes");
  if (place) new MutationObserver(arrange).observe(place, { childList: true });
  watch();
});

// ---- Copy as: what a form would do in other words, which is fetched again while somebody types.

let typing = 0;

function retell(form) {
  const section = form && form.querySelector("details.copy-as[open]");
  if (section) htmx.trigger(section, "typed");
}

document.addEventListener("input", (event) => {
  clearTimeout(typing);
  typing = setTimeout(retell, 300, event.target.form);
});

// A form that has come back with other dropdowns has an empty section.
document.addEventListener("htmx:afterSettle", (event) => retell(event.target.querySelector("form.pane-form")));
