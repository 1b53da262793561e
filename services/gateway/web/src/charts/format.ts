/** Numbers in words, as the gateway prints them: a real minus sign, no minus zero, a unit behind. */

const NONE = "none";

/** Print a number with a minus sign that does not look like a dash. */
export function number(value: number, digits = 1): string {
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}

/** Print a difference: with a plus, too. */
export function signed(value: number, digits = 1): string {
  const text = number(value, digits);
  return Number(value.toFixed(digits)) > 0 ? `+${text}` : text;
}

/** Print a level with its unit; what silence does not have is "none". */
export function level(value: number | null | undefined, unit: string, digits = 1): string {
  return value == null ? NONE : `${number(value, digits)}\u00a0${unit}`;
}

/** Print a time as on a player: 3:07, or 3:07.4, or 1:02:03. */
export function clock(seconds: number, digits = 0): string {
  const scale = 10 ** digits;
  const ticks = Math.max(0, Math.floor(seconds * scale + 1e-6));
  const whole = Math.floor(ticks / scale);
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600);
  const rest = digits ? `.${String(ticks % scale).padStart(digits, "0")}` : "";
  const tail = `${String(whole % 60).padStart(2, "0")}${rest}`;
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/** Say how long something is: 0.4 s, 12.5 s, 3 min 24 s, 1 h 2 min. */
export function length(seconds: number): string {
  if (seconds < 59.95) {
    return `${number(seconds, 1)}\u00a0s`;
  }
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600);
  return hours
    ? `${hours}\u00a0h ${minutes}\u00a0min`
    : `${minutes}\u00a0min ${whole % 60}\u00a0s`;
}

/** Print a band's edges: 20–60 Hz, 500 Hz–2 kHz, 6–20 kHz. */
export function hertz(low: number, high: number): string {
  if (high < 1000) {
    return `${low}–${high}\u00a0Hz`;
  }
  return low < 1000
    ? `${low}\u00a0Hz–${high / 1000}\u00a0kHz`
    : `${low / 1000}–${high / 1000}\u00a0kHz`;
}

/** Print a size in decimal units, as file managers do. */
export function size(bytes: number): string {
  const units = ["bytes", "kB", "MB", "GB"];
  const power = bytes < 1000 ? 0 : Math.min(3, Math.floor(Math.log10(bytes) / 3));
  return `${number(bytes / 1000 ** power, power ? 1 : 0)}\u00a0${units[power]}`;
}

/** Print a share of one: 62 %. */
export function percent(share: number): string {
  return `${number(100 * share, 0)}\u00a0%`;
}

/** Print a count with its noun. */
export function count(amount: number, one: string, many = `${one}s`): string {
  return `${amount.toLocaleString("en")} ${amount === 1 ? one : many}`;
}
