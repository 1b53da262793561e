/** Where the axes have their marks. Pure. */

import type { View } from "./view";

const TIME_STEPS_S = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600];

/** Return the marks of a time axis, at round times and at most so many. */
export function timeTicks(view: View, most: number): number[] {
  const span = view.end - view.start;
  const step = TIME_STEPS_S.find((each) => span / each <= most) ?? 7200;
  const first = Math.ceil(view.start / step - 1e-6);
  const last = Math.floor(view.end / step + 1e-6);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, k) => (first + k) * step);
}

/** Return multiples of a step from low to high, both included. */
export function multiples(low: number, high: number, step: number): number[] {
  const first = Math.ceil(low / step);
  const last = Math.floor(high / step);
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, k) => (first + k) * step);
}
