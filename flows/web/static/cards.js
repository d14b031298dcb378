// Tiles and cards, each with a function that shows the numbers of now.

import { bar, spark } from "./charts.js";
import { days, triangle } from "./days.js";
import { choice, make, put } from "./dom.js";
import * as text from "./format.js";
import { live } from "./live.js";
import { why } from "./why.js";

const SEEN = 240; // values of a number that only this page remembers
const LEAST_BASE = 100;
const MOST_BARS = 8;
const DOWN = "▼", UP = "▲";

export const page = { layout: null, window: "", breakdown: "", views: [] };

const cellOf = (row) => row.cells[page.window] ?? row.cells[""];
const valueOf = (row) => text.number(live.fields.get(cellOf(row)));
const asks = (row) => why(() => cellOf(row), row.title);
const named = (row) => make("span", { class: "row-name" }, row.title, asks(row));

/** An element that shows a row, of one window or of the chosen one. */
function value(tag, row, attributes = {}, window) {
  const element = make(tag, attributes), digits = make("span"), off = make("small");
  element.append(digits, off);
  page.views.push(() => {
    const cell = window === undefined ? cellOf(row) : row.cells[window];
    put(digits, text.shown(row.format, live.fields.get(cell)));
    if (digits.dataset.cell !== cell) digits.dataset.cell = cell;
    const partial = live.partial.has(cell);
    if (element.toggleAttribute("data-partial", partial)) element.title = "* its window reaches back to before counting began";
    else element.removeAttribute("title");
    const error = row.interval && text.number(live.fields.get(row.interval.cells[page.window] ?? row.interval.cells[""]));
    put(off, error === undefined || error === null ? "" : ` ± ${text.inPoints(error * row.interval.times)}`);
  });
  return element;
}

// Tiles

function arrow(row, difference, said, about) {
  const mark = difference > 0 ? `${UP} +` : difference < 0 ? `${DOWN} −` : "";
  const kind = !row.good || !difference ? "" : (difference > 0) === (row.good === "up") ? "good" : "bad";
  return { bold: `${mark}${said}`, plain: about, kind };
}

const ABOUT = {
  window: "vs. the day before",
  today: "today so far vs. the day before",
  minute: "last minute vs. the day before",
};
const WAS = {
  window: "the day before",
  today: "by this time the day before",
};

function compared(row, told, movements) {
  if (told) {
    const about = ABOUT[told.over], difference = told.now - told.before;
    if (!told.tells && told.over === "minute") return { bold: "", plain: `last minute ${text.shown(row.format, told.now)}, the day before ${text.shown(row.format, told.before)}` };
    if (!told.tells) return { bold: "", plain: `${text.shown(row.format, told.before)} ${WAS[told.over]}` };
    if (row.format === "share") return arrow(row, difference, `${text.inPoints(Math.abs(difference))} points`, about);
    return arrow(row, difference, text.share(Math.abs(difference) / told.before), about);
  }
  if (movements) {
    const now = valueOf(row), moved = movements.rows.map((one) => one.sign * (valueOf(one) ?? 0)).reduce((sum, one) => sum + one, 0);
    const before = now - moved;
    if (Number.isNaN(before)) return { bold: "", plain: "" };
    const base = before / (row.format === "money" ? 10 ** page.layout.minor_digits : 1), about = `over the last ${page.window}`;
    if (base < LEAST_BASE) return { bold: "", plain: `${text.shown(row.format, before)} ${page.window} ago` };
    return arrow(row, moved, text.share(Math.abs(moved) / before), about);
  }
  if (row.of) {
    const of = live.fields.get(row.of[page.window] ?? row.of[""]);
    return { bold: "", plain: `of ${text.shown("count", of)} ${row.of_what}` };
  }
  return { bold: "", plain: row.interval ? "± two standard errors, in points" : "" };
}

export function tile(row, place) {
  const movements = row.cells[""] && page.layout.sections.flatMap((section) => section.cards).find((card) => card.kind === "movements" && card.whole?.cells[""] === row.cells[""]);
  const bold = make("b"), plain = make("span"), change = make("p", { class: "change" }, bold, " ", plain);
  const line = spark(), caption = make("figcaption");
  const seen = [];
  let drawn = null;
  page.views.push(() => {
    const own = live.tiles[place], told = compared(row, own?.compared?.[page.window], movements);
    put(bold, told.bold);
    put(plain, told.plain);
    change.classList.toggle("good", told.kind === "good");
    change.classList.toggle("bad", told.kind === "bad");
    const now = valueOf(row), at = text.number(live.fields.get("_as_of"));
    if (now !== undefined && at !== undefined && seen.at(-1)?.at !== at) {
      seen.push({ at, now });
      if (seen.length > SEEN) seen.shift();
    }
    const trace = own?.trace ?? [];
    if (trace.length > 1) {
      if (drawn === trace) return;
      drawn = trace;
      line.set(trace, row.format !== "share");
      put(caption, row.format === "share" ? `last ${trace.length} min, each over 15 min` : `each of the last ${trace.length} min`);
    } else {
      const values = seen.map((one) => one.now);
      line.set(values, false);
      const [low, high] = [Math.min(...values), Math.max(...values)].map((value) => text.shown(row.format, value));
      put(caption, seen.length > 1 ? `since ${text.clock(seen[0].at)}: ${low === high ? low : `${low} to ${high}`}` : "");
    }
  });
  return make("article", { class: "tile", "aria-label": row.title }, make("div", { class: "name" }, make("span", {}, row.title, " ", windowOf(row)), asks(row)), value("p", row, { class: "value" }), change, make("figure", { class: "spark" }, line.svg, caption));
}

// Cards

function facts(rows) {
  return rows.length ? make("dl", { class: "facts" }, ...rows.map((row) => make("div", {}, make("dt", {}, row.title, windowOf(row), asks(row)), value("dd", row)))) : null;
}

/** The window that a number is of where the reader chooses it, behind its title. */
function windowOf(row) {
  const span = make("small");
  if (!row.cells[""]) page.views.push(() => put(span, `· ${page.window}`));
  return span;
}

function table(card, title) {
  const windows = Object.keys(page.layout.windows), several = card.groups.length > 1;
  const heads = windows.map((window) => make("th", { scope: "col", text: window }));
  const bodies = card.groups.filter(([, rows]) => rows.length).flatMap(([name, rows]) => [
    ...((several || rows.length > 1) && !(rows.length === 1 && rows[0].title === name) ? [make("tr", { class: "group" }, make("th", { scope: "colgroup", colspan: windows.length + 1, text: name }))] : []),
    ...rows.map((row) => make("tr", {}, make("th", { scope: "row" }, named(row)), ...(row.cells[""]
      ? [value("td", row, { colspan: windows.length })]
      : windows.map((window) => (row.cells[window] ? value("td", row, { "data-window": window }, window) : make("td")))))),
  ]);
  const headed = card.groups.some(([, rows]) => isWindowed(rows)) ? make("thead", {}, make("tr", {}, make("td"), ...heads)) : null;
  const grid = bodies.length ? make("table", { "aria-label": title }, headed, make("tbody", {}, ...bodies)) : null;
  if (grid) page.views.push(() => {
    for (const cell of [...heads, ...grid.querySelectorAll("td[data-window]")]) {
      cell.classList.toggle("chosen", (cell.dataset.window ?? cell.textContent) === page.window);
    }
  });
  const wide = grid && make("div", { class: "wide" }, grid); // large numbers scroll in here, and not the page
  if (card.rest) return make("details", {}, make("summary", { text: `${card.title}: ${card.rows.length + card.groups.reduce((sum, [, rows]) => sum + rows.length, 0)}` }), facts(card.rows), wide);
  return make("section", { class: "card" }, facts(card.rows), wide);
}

function steps(card) {
  const items = [], shown = [];
  card.rows.forEach((row, i) => {
    const own = bar(), percent = make("span", { class: "percent" }), lost = i ? make("span", { class: "lost" }) : null;
    if (lost) items.push(make("li", {}, lost));
    items.push(make("li", {}, make("span", { class: "label" }, named(row)), value("span", row, { class: "amount" }), percent, own.element));
    shown.push({ row, own, percent, lost });
  });
  page.views.push(() => {
    const first = valueOf(card.rows[0]) ?? 0;
    let before = 0;
    for (const { row, own, percent, lost } of shown) {
      const reached = valueOf(row);
      own.set(0, first ? (reached ?? 0) / first : 0);
      put(percent, first && reached !== undefined ? text.share(reached / first) : text.NOTHING);
      if (lost) put(lost, before && reached !== undefined ? `↓ ${text.share((before - reached) / before)} lost, ${text.count(before - reached)}` : "");
      before = reached ?? 0;
    }
  });
  const rate = card.whole ? make("span", { class: "note" }, "converts ", value("b", card.whole), " ", asks(card.whole)) : null;
  return make("section", { class: "card" }, make("div", { class: "head" }, heading("Attempts entered", true), rate), make("ol", { class: "steps" }, ...items));
}

/** A card's heading, which says which window its numbers are of. */
function heading(title, windowed) {
  const span = make("span");
  if (windowed) page.views.push(() => put(span, `, last ${page.window}`));
  return make("h3", {}, title, span);
}

const amountOf = (row) => value("span", row, { class: "amount" });

/** A bar for each row; of many, those that count nothing are left out, and how many these are is said below. */
function bars(rows, { sorted = false, amount = amountOf } = {}) {
  const list = make("ul", { class: "bars" }), counts = rows.length > MOST_BARS && ["count", "money"].includes(rows[0].format);
  const rest = make("li", { class: "rest", hidden: "" }, make("span", { class: "note" }));
  const shown = rows.map((row) => {
    const own = bar(), item = make("li", {}, make("span", { class: "label" }, named(row)), own.element, amount(row));
    return { row, own, item };
  });
  list.append(...shown.map(({ item }) => item), rest);
  page.views.push(() => {
    const found = shown.map(({ row }) => valueOf(row)), values = found.map((value) => value ?? 0);
    shown.forEach(({ item }, i) => { item.hidden = counts && !values[i]; });
    const missing = found.filter((value) => value === undefined).length, none = found.filter((value) => value === 0).length;
    rest.hidden = !counts || !(none + missing);
    put(rest.firstChild, [none ? `${none} more: 0` : "", missing ? `${missing} more have no value` : ""].filter(Boolean).join(", "));
    const largest = Math.max(...values.map(Math.abs), rows[0].format === "share" ? 1 : 0);
    shown.forEach(({ own }, i) => own.set(0, largest ? Math.abs(values[i]) / largest : 0));
    if (!sorted) return;
    const order = shown.map(({ item }, i) => [item, values[i]]).sort((a, b) => b[1] - a[1]).map(([item]) => item);
    if (order.some((item, i) => list.children[i] !== item) && !list.contains(document.activeElement)) list.append(...order, rest);
  });
  return list;
}

/** How many lie in each bucket: those up to its bound less those up to the one before, and the ones beyond all. */
function histogram(card) {
  const list = make("ul", { class: "bars" }), shown = [];
  const add = (label, row) => {
    const own = bar(), amount = make("span", { class: "amount" });
    list.append(make("li", {}, make("span", { class: "label" }, label, asks(row)), own.element, amount));
    shown.push({ row, own, amount });
  };
  card.rows.forEach((row) => add(row.title, row));
  add("longer", card.whole);
  page.views.push(() => {
    const up = shown.map(({ row }) => valueOf(row)), counts = up.map((value, i) => (i ? value - up[i - 1] : value));
    const largest = Math.max(...counts.filter(Number.isFinite), 1);
    shown.forEach(({ row, own, amount }, i) => {
      amount.dataset.upTo = cellOf(row);
      put(amount, Number.isFinite(counts[i]) ? text.count(counts[i]) : text.NOTHING);
      own.set(0, Number.isFinite(counts[i]) ? counts[i] / largest : 0);
    });
  });
  return make("section", { class: "card" }, make("div", { class: "head" }, heading(card.title, true)), list);
}

/** How often things happen: their counts in the window, by its length. */
function rates(card) {
  const amount = (row) => {
    const element = make("span", { class: "amount" });
    page.views.push(() => {
      const seconds = page.layout.windows[page.window], largest = Math.max(...card.rows.map((one) => valueOf(one) ?? 0));
      element.dataset.rateOf = cellOf(row);
      put(element, text.rate(valueOf(row), seconds, largest));
    });
    return element;
  };
  return make("section", { class: "card" }, make("div", { class: "head" }, heading(card.title, true)), bars(card.rows, { sorted: true, amount }));
}

const isWindowed = (rows) => rows.some((row) => !row.cells[""]);

function ranking(card, sorted = true) {
  return make("section", { class: "card" }, make("div", { class: "head" }, heading(card.title, isWindowed(card.rows))), bars(card.rows, { sorted }));
}

function split(card) {
  const lists = new Map(card.groups.map(([name, rows]) => [name, bars(rows)])), names = [...lists.keys()], body = make("div");
  const words = (name) => name.replaceAll("_", " ");
  const title = names.length === 1 && !card.title.includes(` by ${words(names[0])}`) ? `${card.title} by ${words(names[0])}` : card.title;
  const head = make("div", { class: "head" }, heading(title, isWindowed(card.groups[0][1])));
  const choose = (name) => body.replaceChildren(lists.get(name));
  if (names.length > 1) head.append(choice(`${card.title} by`, names.map((name) => [name, `by ${words(name)}`]), names[0], choose));
  choose(names[0]);
  return make("section", { class: "card" }, head, body);
}

function movements(card) {
  const list = make("ul", { class: "bars moves" }), lanes = [];
  const lane = (label, kind, amount) => {
    const own = bar(), item = make("li", { class: kind }, label, own.element, amount);
    lanes.push(own);
    list.append(item);
  };
  const before = make("span", { class: "amount" }), ago = make("span");
  if (card.whole) lane(make("span", { class: "label" }, ago), "", before);
  for (const row of card.rows) {
    lane(make("span", { class: "label" }, named(row)), row.sign < 0 ? "down" : "up", value("span", row, { class: "amount", "data-sign": row.sign < 0 ? "−" : "+" }));
  }
  if (card.whole) lane(make("span", { class: "label" }, make("span", { class: "row-name" }, "now", asks(card.whole))), "", value("span", card.whole, { class: "amount" }));
  page.views.push(() => {
    const moved = card.rows.map((row) => row.sign * (valueOf(row) ?? 0));
    const end = card.whole ? valueOf(card.whole) ?? 0 : 0, start = end - (card.whole ? moved.reduce((sum, one) => sum + one, 0) : 0);
    put(ago, `${page.window} ago`);
    put(before, card.whole && valueOf(card.whole) !== undefined ? text.shown(card.whole.format, start) : text.NOTHING);
    const spans = [];
    let at = start;
    if (card.whole) spans.push([0, start]);
    for (const one of moved) {
      spans.push([Math.min(at, at + one), Math.max(at, at + one)]);
      at = card.whole ? at + one : 0;
    }
    if (card.whole) spans.push([0, end]);
    // Where little moves beside much that stays, the bars begin close below the least: else no movement can be seen.
    const high = Math.max(...spans.map(([, to]) => to), 1), low = Math.min(...spans.slice(card.whole ? 1 : 0, card.whole ? -1 : undefined).map(([from]) => from), start, end);
    const zero = card.whole && high > low && high - low < high / 4 ? Math.max(0, low - (high - low)) : 0;
    spans.forEach(([from, to], i) => lanes[i].set((from - zero) / (high - zero), (to - Math.max(from, zero)) / (high - zero)));
  });
  return make("section", { class: "card" }, make("div", { class: "head" }, heading(card.title, true)), list);
}

/** A node of the metric tree: its number, the target, and how far it is. */
function node(card) {
  const find = (number) => card.rows.find((row) => row.cells[""].endsWith(`.${number}`)), own = bar();
  const [now, target, attainment, progress, on] = ["value", "target", "attainment", "progress", "on_track"].map(find);
  const track = on ? make("span", { class: "row-name" }, value("b", on), asks(on)) : null;
  const goal = target ? [make("p", {}, "target ", value("b", target), " · attained ", value("b", attainment), " ", asks(attainment)), own.element] : [];
  const way = progress ? make("p", { class: "note" }, value("span", progress), " of the way ", asks(progress)) : null;
  page.views.push(() => {
    if (target) own.set(0, Math.max(0, Math.min(1, valueOf(attainment) ?? 0)));
    track?.classList.toggle("good", valueOf(on) === 1);
    track?.classList.toggle("bad", valueOf(on) === 0);
  });
  return make("section", { class: "card node", "aria-label": card.title }, make("div", { class: "head" }, named(now), track), value("p", now, { class: "value" }), ...goal, way, make("p", { class: "note", text: card.description }));
}

const LISTED = [["5m", 300], ["1h", 3600], ["24h", 86400]];

/** The window of lists that is nearest to the chosen one: the longest that is no longer, else the shortest. */
function listedWindow() {
  const chosen = page.layout.windows[page.window];
  return (LISTED.findLast(([, seconds]) => seconds <= chosen) ?? LISTED[0])[0];
}

/** A value as it can be read: what would be invisible, or turn the text around, by its code. */
const visible = (value) => value.replace(/[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`);

/** What counts most: values as events have them, which are text and nothing else. */
function top(card) {
  const list = make("ol", { class: "bars", "data-top": card.listed }), span = make("span"), none = make("p", { class: "note", text: "nothing in this window" });
  const shown = Array.from({ length: card.most }, () => {
    const label = make("bdi", { class: "listed" }), own = bar(), amount = make("span", { class: "amount" });
    const item = make("li", { hidden: "" }, make("span", { class: "label" }, label), own.element, amount);
    list.append(item);
    return { label, own, amount, item };
  });
  page.views.push(() => {
    const window = listedWindow(), pairs = live.top.get(`${card.listed}.${window}`) ?? [], largest = pairs[0]?.[1];
    put(span, `, last ${window}`);
    none.hidden = pairs.length > 0;
    shown.forEach(({ label, own, amount, item }, i) => {
      item.hidden = i >= pairs.length;
      if (item.hidden) return;
      const value = visible(pairs[i][0]);
      put(label, value);
      label.title = value;
      put(amount, text.count(pairs[i][1]));
      own.set(0, pairs[i][1] / largest);
    });
  });
  const rest = card.whole ? make("p", { class: "note" }, named(card.whole), " ", value("b", card.whole)) : null;
  return make("section", { class: "card" }, make("div", { class: "head" }, make("h3", {}, card.title, span)), list, none, rest, make("p", { class: "note", text: card.description }));
}

const KINDS = { table, steps, ranking: (card) => ranking(card), bars: (card) => ranking(card, false), rates, histogram, split, movements, node, top, days: (card) => days(card, page.layout), triangle: (card) => triangle(card, page.layout) };

export function section(told) {
  const cards = told.cards.map((card) => KINDS[card.kind](card, told.title)), id = `section-${page.views.length}`;
  return make("section", { "aria-labelledby": id, class: `columns-${told.columns}` }, make("h2", { id, text: told.title }), make("div", { class: "cards" }, ...cards));
}
