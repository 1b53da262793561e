/** Measures in words: a number with its unit, and what stands in its place. Pure. */

import { level } from "../format";

/** A level with its unit, which stays on its line; what silence does not have is "none". */
export function measure(value: number | null | undefined, unit: string, digits = 1): string {
  return value == null ? "none" : `${level(value, digits)}\u00a0${unit}`;
}

/** A band's edges: 20–60 Hz, 500 Hz–2 kHz, 6–20 kHz. */
export function edges(low: number, high: number): string {
  if (high < 1000) return `${low}–${high}\u00a0Hz`;
  if (low < 1000) return `${low}\u00a0Hz–${high / 1000}\u00a0kHz`;
  return `${low / 1000}–${high / 1000}\u00a0kHz`;
}

/** An amount with its noun: 1 sample, 2,048 samples. */
export function count(amount: number, one: string, many = `${one}s`): string {
  return `${amount.toLocaleString("en")}\u00a0${amount === 1 ? one : many}`;
}

/** What nobody would read to the end, cut at a word. */
export function shortened(text: string, length: number): string {
  if (text.length <= length) return text;
  const cut = text.slice(0, length).replace(/\s+\S*$/u, "");
  return `${cut || text.slice(0, length)}…`;
}
