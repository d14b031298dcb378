// Closed days: one number of each beside the week before, and who came back of those who started on a date.

import { bar } from "./charts.js";
import { choice, make, put } from "./dom.js";
import * as text from "./format.js";

const WEEK = 7, SHOWN = 14, LEAST_BASE = 100;
const AGES = [1, 2, 3, 4, 5, 6, 7, 8, 15, 22, 29, 36, 43]; // of dates in the triangle: a week, and then this weekday
const QUARTER = 900000; // ms; days begin with one, in every time zone
const views = [];
let told = [], quarter = null;

/** Asks for the days when another one may have closed; `end`: ms of the minute that is open. */
export async function load(end) {
  if (Math.floor(end / QUARTER) === quarter) return;
  const answer = await fetch("days");
  if (!answer.ok) return;
  quarter = Math.floor(end / QUARTER);
  told = (await answer.json()).days;
  for (const view of views) view();
}

const numbersOf = (date) => told.find((day) => day.date === date)?.numbers;

function earlier(date, days) {
  const day = new Date(`${date}T00:00Z`);
  day.setUTCDate(day.getUTCDate() - days);
  return day.toISOString().slice(0, 10);
}

export function days(card, layout) {
  const fields = Object.entries(layout.days), list = make("ol", { class: "bars days" });
  let field = layout.days.active_users ? "active_users" : fields[0][0];
  const none = make("p", { class: "note", text: "The first day has not closed." });
  function show() {
    const [, form] = layout.days[field], newest = told[0]?.date;
    const first = told.at(-1)?.date; // the product may have begun in the midst of it
    const dates = newest ? Array.from({ length: SHOWN }, (_, i) => earlier(newest, i)).filter(numbersOf) : [];
    const largest = Math.max(1, ...dates.map((date) => numbersOf(date)[field] ?? 0));
    none.hidden = dates.length > 0;
    list.replaceChildren(...dates.map((date) => {
      const now = numbersOf(date)[field] ?? 0, weekBefore = earlier(date, WEEK), own = bar();
      const before = weekBefore === first ? undefined : numbersOf(weekBefore)?.[field];
      own.set(0, now / largest);
      const change = before >= LEAST_BASE && form === "count" || before > 0 && form === "money" ? `${now < before ? "−" : "+"}${text.share(Math.abs(now - before) / before)}` : "";
      return make("li", {}, make("span", { class: "label" }, text.day(date)), own.element,
        make("span", { class: "amount", "data-day": `${date} ${field}`, text: text.shown(form, String(now)) }), make("span", { class: "note", text: change }));
    }));
  }
  views.push(show);
  const choose = (chosen) => { field = chosen; show(); };
  const head = make("div", { class: "head" }, make("h3", { text: card.title }), choice("Days of", fields.map(([name, [title]]) => [name, title]), field, choose));
  show();
  return make("section", { class: "card" }, head, none, list, make("p", { class: "note", text: "% against the same weekday of the week before" }));
}

export function triangle(card, layout) {
  const body = make("tbody"), heads = layout.returns.map((n) => make("th", { scope: "col", text: `day ${n}` }));
  const grid = make("table", { class: "triangle", "aria-label": card.title }, make("thead", {}, make("tr", {}, make("th", { scope: "col", text: "Started on" }), make("th", { scope: "col", text: "users" }), ...heads)), body);
  const none = make("p", { class: "note", text: `Day ${layout.returns[0]} of the first date is not over.` });
  views.push(() => {
    const newest = told[0]?.date;
    const dates = newest ? AGES.map((age) => earlier(newest, age - 1)).filter((date) => numbersOf(date)?.[`retention.d${layout.returns[0]}.cohort`]) : [];
    none.hidden = dates.length > 0;
    grid.hidden = !dates.length;
    body.replaceChildren(...dates.map((date) => {
      const of = numbersOf(date), cells = layout.returns.map((n) => {
        const cohort = of[`retention.d${n}.cohort`], returned = of[`retention.d${n}.returned`];
        if (!cohort) return make("td");
        return make("td", { "data-day": `${date} retention.d${n}`, "data-level": Math.min(9, Math.floor((returned / cohort) * 20)), text: text.share(returned / cohort) });
      });
      return make("tr", {}, make("th", { scope: "row", text: text.day(date) }), make("td", { text: text.count(of[`retention.d${layout.returns[0]}.cohort`]) }), ...cells);
    }));
  });
  return make("section", { class: "card" }, make("div", { class: "head" }, make("h3", { text: card.title })), none, make("div", { class: "wide" }, grid), make("p", { class: "note", text: card.description }));
}
