// The charts: uPlot draws what the server has counted. Numbers are fetched only while they are on the page.
"use strict";

const drawn = new Map(); // by the place on the page

const paint = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// Each chart: its title, the unit of its axis, and its lines by the names of the series' columns.
const sheets = [
  { title: "Each second", lines: [["Connections", "connections", "--busy", 1], ["Requests", "requests", "--ok", 1], ["Errors", "errors", "--bad", 1]] },
  { title: "Bits each second", lines: [["In", "bytes_in", "--warn", 8], ["Out", "bytes_out", "--busy", 8]] },
];

async function chart(place) {
  const answer = await fetch(place.dataset.chart, { headers: { "HX-Request": "true" } });
  if (!answer.ok) return;
  const series = await answer.json();
  if (place.isConnected && series.objects.length > 0) draw(place, series, series.objects[0]);
}

// draw leaves the last step out, which is still being counted.
function draw(place, series, object) {
  const start = Date.parse(series.from) / 1000;
  const times = object.active.slice(0, -1).map((_, i) => start + i * series.step);
  const data = sheets.map((sheet) => [times, ...sheet.lines.map(([, column, , by]) => object[column].slice(0, -1).map((n) => n * by / series.step))]);
  const known = drawn.get(place);
  const look = getComputedStyle(document.documentElement).colorScheme + place.clientWidth;
  if (known && known.look === look) {
    known.plots.forEach((plot, i) => plot.setData(data[i]));
    return;
  }
  if (known) known.plots.forEach((plot) => plot.destroy());
  place.replaceChildren();
  const frames = sheets.map((sheet) => {
    const frame = document.createElement("figure");
    const title = document.createElement("figcaption");
    title.textContent = sheet.title;
    frame.append(title);
    place.append(frame);
    return frame;
  });
  const width = frames[0].clientWidth - 24; // without its padding
  const plots = sheets.map((sheet, i) => new uPlot(options(width, sheet), data[i], frames[i]));
  drawn.set(place, { look, plots });
}

function options(width, sheet) {
  const axis = (more) => ({ stroke: paint("--faint"), font: "12px " + paint("--sans"), grid: { stroke: paint("--line"), width: 1 }, ticks: { show: false }, ...more });
  return {
    width, height: 172, cursor: { drag: { x: false, y: false }, sync: { key: "traffic" }, y: false },
    scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.1, 1e-3)] } },
    axes: [
      axis({ values: "{HH}:{mm}", space: 56, size: 28 }),
      axis({ size: 52, values: (_, ticks) => ticks.map(short) }),
    ],
    series: [
      { label: "", value: "{HH}:{mm}:{ss}" },
      ...sheet.lines.map(([label, , color]) => ({ label, stroke: paint(color), width: 1.5, points: { show: false }, value: (_, n) => n == null ? "–" : short(n) })),
    ],
  };
}

// short is a number with three digits that count, and a prefix of thousands.
function short(n) {
  let prefix = "";
  for (const larger of ["k", "M", "G", "T"]) {
    if (n < 999.5) break;
    n /= 1000;
    prefix = larger;
  }
  return Number(n.toPrecision(3)) + prefix;
}

// charts draws those that are on the page, and forgets those that are no longer.
function charts() {
  for (const [place, known] of drawn) {
    if (place.isConnected) continue;
    known.plots.forEach((plot) => plot.destroy());
    drawn.delete(place);
  }
  document.querySelectorAll("[data-chart]").forEach(chart);
}

// numbers has what shows numbers fetched again.
function numbers() {
  for (const place of document.querySelectorAll("[data-numbers]")) fetchAgain(place.closest("[hx-get]"));
}

document.addEventListener("htmx:afterSettle", (event) => {
  if (event.target.querySelector("[data-chart]") || event.target.closest("[data-numbers]")) charts();
});
document.addEventListener("DOMContentLoaded", charts);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", charts);

let resizing = 0;
window.addEventListener("resize", () => { clearTimeout(resizing); resizing = setTimeout(charts, 150); });
