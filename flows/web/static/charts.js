// Plain SVG: the small line of a tile, bars, and the course of a day beside the day before.

import { draw, make, put } from "./dom.js";
import { clock, count } from "./format.js";

const MINUTE = 60000, DAY = 1440, TOGETHER = 5; // minutes whose mean is one point of the course
const LEAST_ROOM = 0.2; // of the largest value: how much a tile's line spans at least
const HIGH = 240, LEFT = 52, BELOW = 24, ABOVE = 8;

function paths(values, x, y, floor) {
  let line = "", area = "", from = null, last = null;
  values.forEach((value, i) => {
    if (value === null || value === undefined) {
      if (from !== null) area += `L${x(last)} ${floor}L${x(from)} ${floor}Z`;
      from = null;
      return;
    }
    const point = `${x(i).toFixed(2)} ${y(value).toFixed(2)}`;
    line += (from === null ? "M" : "L") + point;
    area += (from === null ? "M" : "L") + point;
    from ??= i;
    last = i;
  });
  if (from !== null) area += `L${x(last)} ${floor}L${x(from)} ${floor}Z`;
  return { line, area };
}

export function spark() {
  const area = draw("path", { class: "area" }), line = draw("path", { class: "line" });
  const svg = draw("svg", { viewBox: "0 0 100 40", preserveAspectRatio: "none", "aria-hidden": "true" }, area, line);
  return {
    svg,
    set(values, fromZero) {
      const there = values.filter((value) => value !== null);
      const low = fromZero ? 0 : Math.min(...there), high = Math.max(...there);
      // A small change is drawn small: one session more or less among a hundred is no cliff.
      const room = fromZero ? high || 1 : Math.max(high - low, Math.abs(high) * LEAST_ROOM, Number.MIN_VALUE), middle = (low + high) / 2;
      const y = (value) => (fromZero ? 38 - (36 * value) / room : 20 - (36 * (value - middle)) / room);
      const found = there.length < 2 ? { line: "", area: "" } : paths(values, (i) => (100 * i) / (values.length - 1), high === low ? () => 20 : y, 40);
      line.setAttribute("d", found.line);
      area.setAttribute("d", high === low ? "" : found.area);
    },
  };
}

export function bar() {
  const rect = draw("rect", { height: "100%", width: 0 });
  return {
    element: make("div", { class: "bar", "aria-hidden": "true" }, draw("svg", {}, rect)),
    set(from, size) {
      rect.setAttribute("x", `${(100 * Math.max(0, from)).toFixed(3)}%`);
      rect.setAttribute("width", `${(100 * Math.max(0, Math.min(1, size))).toFixed(3)}%`);
    },
  };
}

function means(values) {
  const found = [];
  for (let i = 0; i + TOGETHER <= values.length; i += TOGETHER) {
    found.push(values.slice(i, i + TOGETHER).reduce((sum, value) => sum + value, 0) / TOGETHER);
  }
  return found;
}

function ticksTo(high) {
  const rough = high / 4, unit = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(1, [1, 2, 2.5, 5, 10].map((times) => times * unit).find((size) => size >= rough));
  return Array.from({ length: Math.ceil(high / step - 1e-9) + 1 }, (_, i) => i * step);
}

export function course() {
  const svg = draw("svg", { "aria-hidden": "true" }), output = make("output", {});
  const plot = make("div", { class: "plot", tabindex: 0, role: "group" }, svg);
  const key = make("p", { class: "key" }, make("span", { text: "today" }), make("span", { class: "dashed", text: "the day before" }), output);
  let told = null, at = null, place = null;

  function tell() {
    if (!told) return;
    const minute = at ?? told.today.length - 1;
    const now = told.today[minute], before = told.before[minute], when = clock(told.midnight + minute * MINUTE, { hour: "2-digit", minute: "2-digit" });
    put(output, minute < 0 ? "" : `${when}: ${now === undefined ? "" : `${count(now)}, `}${before === undefined ? "" : `the day before ${count(before)}`}`);
    place?.(at);
  }

  function render() {
    const wide = plot.clientWidth;
    if (!told || !wide) return;
    const today = means(told.today), before = means(told.before);
    const ticks = ticksTo(Math.max(1, ...today, ...before)), top = ticks.at(-1);
    const x = (minute) => LEFT + ((wide - LEFT) * minute) / DAY;
    const y = (value) => HIGH - BELOW - ((HIGH - BELOW - ABOVE) * value) / top;
    const point = (i) => x(i * TOGETHER + TOGETHER / 2);
    const hours = wide < 560 ? 6 : 3;
    const lines = ticks.flatMap((tick) => [
      draw("line", { x1: LEFT, x2: wide, y1: y(tick), y2: y(tick) }),
      draw("text", { x: LEFT - 10, y: y(tick) + 4, "text-anchor": "end", text: count(tick) }),
    ]);
    const times = Array.from({ length: 24 / hours + 1 }, (_, i) => draw("text", {
      x: x(i * hours * 60), y: HIGH - 4, "text-anchor": i === 0 ? "start" : i === 24 / hours ? "end" : "middle",
      text: `${String(i * hours).padStart(2, "0")}:00`,
    }));
    const now = paths(today, point, y, y(0)), past = paths(before, point, y, y(0));
    const cursor = draw("line", { class: "cursor", y1: ABOVE, y2: y(0), visibility: "hidden" });
    place = (minute) => {
      cursor.setAttribute("visibility", minute === null ? "hidden" : "visible");
      if (minute !== null) for (const side of ["x1", "x2"]) cursor.setAttribute(side, x(minute + 0.5));
    };
    svg.replaceChildren(...lines, ...times, draw("path", { class: "area", d: now.area }), draw("path", { class: "before", d: past.line }), draw("path", { class: "line", d: now.line }), cursor);
    tell();
  }

  const reach = (minute) => Math.max(0, Math.min(DAY - 1, Math.round(minute)));
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    at = reach((DAY * (event.clientX - box.left - LEFT)) / (box.width - LEFT));
    tell();
  });
  plot.addEventListener("pointerleave", () => { at = null; tell(); });
  plot.addEventListener("blur", () => { at = null; tell(); });
  plot.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -60, PageDown: 60 }[event.key];
    if (!by || !told) return;
    at = reach((at ?? told.today.length - 1) + by);
    tell();
    event.preventDefault();
  });
  new ResizeObserver(render).observe(plot);
  return {
    plot, key,
    set(title, values) {
      told = values;
      const now = values.today.at(-1), before = values.before[values.today.length - 1];
      plot.setAttribute("aria-label", `${title} per minute, today and the day before. Last closed minute ${count(now ?? 0)}, the day before ${count(before ?? 0)}. Arrow keys move through the minutes.`);
      render();
    },
  };
}
