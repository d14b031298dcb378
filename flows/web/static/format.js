// Numbers and times as text. A value is the text that Redis has, or undefined where a number is absent.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const two = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
const percent = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const points = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });

const small = new Intl.NumberFormat("en", { maximumSignificantDigits: 1 });

export const NOTHING = "–";
let money = { digits: 2, fine: whole, coarse: whole };
let zone = "UTC";

const dated = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
export const day = (date) => dated.format(new Date(`${date}T00:00Z`));

export function settle(layout) {
  zone = layout.time_zone;
  const currency = layout.currency ?? "EUR", digits = layout.minor_digits;
  const of = (most) => new Intl.NumberFormat("en", { style: "currency", currency, minimumFractionDigits: most, maximumFractionDigits: most });
  money = { digits, fine: of(digits), coarse: of(0) };
}

export const number = (text) => (text === undefined || text === null || text === "" ? undefined : Number(text));

function duration(ms) {
  const s = ms / 1000;
  if (Math.abs(s) < 10) return `${points.format(s)} s`;
  if (s < 120) return `${whole.format(s)} s`;
  if (s < 7200) return `${points.format(s / 60)} min`;
  if (s < 172800) return `${points.format(s / 3600)} h`;
  return `${points.format(s / 86400)} d`;
}

function amount(minor) {
  const major = minor / 10 ** money.digits;
  return Math.abs(major) >= 1000 ? money.coarse.format(major) : money.fine.format(major);
}

const FORMATS = { count: whole.format, decimal: two.format, share: percent.format, ms: duration, money: amount, track: (on) => (on ? "on track" : "behind") };

export function shown(format, text) {
  const value = number(text);
  return value === undefined || Number.isNaN(value) ? NOTHING : FORMATS[format](value);
}

export const count = (value) => whole.format(value);
export const share = (value) => percent.format(value);
export const inPoints = (value) => points.format(100 * value);

/** So many in so many seconds, in the unit in which the largest of several is best read. */
export function rate(value, seconds, largest) {
  if (value === undefined) return NOTHING;
  const [times, unit] = largest >= seconds ? [1, "s"] : 60 * largest >= seconds ? [60, "min"] : [3600, "h"];
  const often = (times * value) / seconds;
  return `${often && often < 0.1 ? small.format(often) : points.format(often)} / ${unit}`;
}

export const seconds = (value) => duration(1000 * value);

export function clock(ms, options = { hour: "2-digit", minute: "2-digit", second: "2-digit" }) {
  return new Date(ms).toLocaleTimeString("en-GB", { timeZone: zone, ...options });
}

export function clockAndDay(ms) {
  const day = (of) => new Date(of).toLocaleDateString("en-CA", { timeZone: zone });
  return Math.abs(Date.now() - ms) > 43200000 || day(ms) !== day(Date.now()) ? `${day(ms)} ${clock(ms)}` : clock(ms);
}
