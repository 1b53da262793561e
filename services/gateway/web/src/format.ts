/** Numbers as people read them. What is not there is a dash; a minus is a minus sign. */

const MINUS = "\u2212";
export const NOTHING = "\u2013";

/** A level or a loudness to `digits` decimals, with a real minus sign. */
export function level(value: number | null | undefined, digits = 1): string {
  return value == null ? NOTHING : minus(value.toFixed(digits));
}

/** A gain or a difference: its sign is always there, but not of what rounds to nothing. */
export function signed(value: number | null | undefined, digits = 1): string {
  if (value == null) return NOTHING;
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : Number(text) > 0 ? `+${text}` : minus(text);
}

/** A place on a time axis: 0:07, 12:34, 1:02:03; with `digits`, 0:07.3. */
export function clock(seconds: number, digits = 0): string {
  const scale = 10 ** digits;
  const all = Math.round(Math.max(0, seconds) * scale);
  const [hours, minutes, rest] = [
    Math.floor(all / (3600 * scale)),
    Math.floor(all / (60 * scale)) % 60,
    ((all % (60 * scale)) / scale).toFixed(digits),
  ];
  const tail = rest.padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/** A length of time in words: 0.4 s, 12 s, 3 min, 2 h. */
export function duration(seconds: number | null | undefined): string {
  if (seconds == null) return NOTHING;
  if (seconds < 0.0995) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 99.5) return `${Math.round(seconds)} s`;
  if (seconds < 5970) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1).replace(/\.0$/, "")} h`;
}

/** Bytes in the decimal units that file managers and our limits use. */
export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB"];
  const power = Math.min(units.length, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${value.toFixed(value < 9.95 ? 1 : 0)} ${units[power - 1]}`;
}

/** A share as a percentage: 0.42 is 42 %. */
export function percent(share: number | null | undefined, digits = 0): string {
  return share == null ? NOTHING : `${(share * 100).toFixed(digits)} %`;
}

/** An instant, as the visitor's calendar and clock have it. */
export function when(instant: string): string {
  return new Date(instant).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
}

function minus(text: string): string {
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", MINUS);
}
