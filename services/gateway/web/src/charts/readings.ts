/**
 * Loudness over time, as a chart needs it. Pure.
 *
 * A timeline counts by the end of its windows. Here a reading stands in the middle of its window:
 * there it belongs, next to a waveform and to words.
 */

import { extent, quantileSorted } from "d3-array";
import type { Timeline } from "../api/types";
import { clamp, type View } from "./view";

/** How long the windows are: EBU Tech 3341, section 2.2. */
export const MOMENTARY_S = 0.4;
export const SHORT_TERM_S = 3;

export type Levels = readonly (number | null)[];

export interface Reading {
  time: number;
  lufs: number | null;
}

/** Return the reading whose window has its middle nearest to `time`; null where there is none. */
export function readingAt(levels: Levels, stepS: number, windowS: number, time: number): number | null {
  const index = Math.round((time + windowS / 2) / stepS) - 1;
  return levels[index] ?? null;
}

/**
 * Return the readings within a view and one more at either side, at most two to each column.
 *
 * Of many in one column the least and the greatest stay, so that no peak is lost.
 */
export function readingsIn(levels: Levels, stepS: number, windowS: number, view: View, columns: number): Reading[] {
  const timeOf = (index: number) => (index + 1) * stepS - windowS / 2;
  const indexOf = (time: number) => Math.round((time + windowS / 2) / stepS) - 1;
  const first = clamp(indexOf(view.start) - 1, 0, levels.length);
  const last = clamp(indexOf(view.end) + 2, first, levels.length);
  const group = Math.ceil((last - first) / Math.max(1, columns));
  if (group <= 2) {
    return levels.slice(first, last).map((lufs, k) => ({ time: timeOf(first + k), lufs }));
  }
  const kept: Reading[] = [];
  // Groups that begin at multiples of their size: a view that moves does not make them flicker.
  for (let begin = first - (first % group); begin < last; begin += group) {
    kept.push(...ends(levels, begin, Math.min(begin + group, levels.length), timeOf));
  }
  return kept;
}

/** The least and the greatest of a group, in the order of time; a gap when all of it is silent. */
function ends(levels: Levels, begin: number, end: number, timeOf: (index: number) => number): Reading[] {
  let least: { time: number; lufs: number } | null = null;
  let most: { time: number; lufs: number } | null = null;
  for (let index = begin; index < end; index += 1) {
    const lufs = levels[index] ?? null;
    if (lufs !== null) {
      const reading = { time: timeOf(index), lufs };
      least = least && least.lufs <= lufs ? least : reading;
      most = most && most.lufs > lufs ? most : reading;
    }
  }
  if (least === null || most === null) {
    return [{ time: timeOf(begin), lufs: null }];
  }
  return least.time <= most.time ? [least, most] : [most, least];
}

/**
 * Return from where to where the axis of levels goes, in LUFS, at multiples of six.
 *
 * It has room for all that is loud, the target, and most of what is quiet: a fade-out to nothing
 * does not press everything else together.
 */
export function levelsOf(timeline: Timeline | null, targetLufs: number | null): [number, number] {
  const heard = (timeline?.short_term ?? []).filter((lufs) => lufs !== null).sort((a, b) => a - b);
  const fast = extent((timeline?.momentary ?? []).filter((lufs) => lufs !== null));
  const loudest = Math.max(fast[1] ?? -60, targetLufs ?? -60);
  const quiet = quantileSorted(heard, 0.05) ?? fast[0] ?? loudest - 24;
  const top = Math.min(6, 6 * Math.ceil((loudest + 1) / 6));
  const bottom = 6 * Math.floor((Math.min(quiet, targetLufs ?? quiet) - 3) / 6);
  return [clamp(bottom, -72, top - 18), top];
}
