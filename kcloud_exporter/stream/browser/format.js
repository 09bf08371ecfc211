// Numbers as text. What is not known is the word "unknown", never 0.

export const UNKNOWN = "unknown";
const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const integer = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

const known = (value) => typeof value === "number" && Number.isFinite(value);

function scaled(value, units, step) {
  let at = 0;
  while (at < units.length - 1 && Math.abs(value) >= step) {
    value /= step;
    at += 1;
  }
  // A figure keeps its width: three decimals of a kilowatt are a watt, and no meter is better.
  const text = at === 0 ? number.format(Math.round(value * 10) / 10) : number.format(value);
  return { number: text, unit: units[at], text: `${text} ${units[at]}` };
}

export const watts = (value) => (known(value) ? scaled(value, ["W", "kW", "MW", "GW"], 1000) : null);
export const energy = (joules) => (known(joules) ? scaled(joules / 3600, ["Wh", "kWh", "MWh", "GWh", "TWh"], 1000) : null);
export const wattsText = (value) => watts(value)?.text ?? UNKNOWN;
export const percent = (ratio) => (known(ratio) ? `${number.format(Math.round(ratio * 1000) / 10)} %` : UNKNOWN);
export const count = (value) => (known(value) ? integer.format(value) : UNKNOWN);
export const ratio = (value) => (known(value) ? value.toFixed(2) : UNKNOWN);
export const clock = (time) => new Date(time).toLocaleTimeString([], { hour12: false });

export function ago(seconds) {
  if (!known(seconds)) return "never";
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 90) return `${whole} s ago`;
  if (whole < 5400) return `${Math.round(whole / 60)} min ago`;
  return `${Math.round(whole / 3600)} h ago`;
}
