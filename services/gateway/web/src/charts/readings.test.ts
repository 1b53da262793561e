import { expect, test } from "vitest";

import { levelsOf, MOMENTARY_S, readingAt, readingsIn, SHORT_TERM_S } from "./readings";

const momentary = Array.from({ length: 100 }, (_, k) => (k < 3 ? null : -20 - k / 10));

test("a reading stands in the middle of its window", () => {
  // Entry 3 is the window from 0 s to 0.4 s.
  expect(readingAt(momentary, 0.1, MOMENTARY_S, 0.2)).toBe(-20.3);
  expect(readingAt(momentary, 0.1, MOMENTARY_S, 0.24)).toBe(-20.3);
  expect(readingAt(momentary, 0.1, MOMENTARY_S, 0.26)).toBe(-20.4);
});

test("there is no reading where no window has its middle", () => {
  expect(readingAt(momentary, 0.1, MOMENTARY_S, 0.1)).toBeNull();
  expect(readingAt(momentary, 0.1, MOMENTARY_S, 99)).toBeNull();
  expect(readingAt([], 0.1, SHORT_TERM_S, 0)).toBeNull();
});

test("a view has its readings, and one more at either side", () => {
  const readings = readingsIn(momentary, 0.1, MOMENTARY_S, { start: 2, end: 3 }, 500);

  expect(readings[0]?.time).toBeCloseTo(1.9);
  expect(readings.at(-1)?.time).toBeCloseTo(3.1);
});

test("no peak is lost when there are more readings than pixels", () => {
  const levels = Array.from({ length: 36_000 }, (_, k) => (k === 17_001 ? -3 : k === 9_001 ? -60 : -20));

  const readings = readingsIn(levels, 0.1, MOMENTARY_S, { start: 0, end: 3600 }, 300);

  expect(readings.length).toBeLessThanOrEqual(602);
  expect(Math.max(...readings.map(({ lufs }) => lufs ?? -99))).toBe(-3);
  expect(Math.min(...readings.map(({ lufs }) => lufs ?? 0))).toBe(-60);
});

test("silence stays a gap, however many readings share a pixel", () => {
  const levels = Array.from({ length: 1000 }, (_, k) => (k >= 300 && k < 600 ? null : -20));

  const readings = readingsIn(levels, 0.1, MOMENTARY_S, { start: 0, end: 100 }, 50);

  expect(readings.some(({ lufs }) => lufs === null)).toBe(true);
});

test("the axis has room for the loudest, for the target and for most of what is quiet", () => {
  const short_term = [...Array<null>(29).fill(null), ...Array<number>(500).fill(-18)];
  const timeline = { step_s: 0.1, momentary: [null, -10.5, -12], short_term };

  expect(levelsOf(timeline, -14)).toEqual([-24, -6]);
  expect(levelsOf(timeline, -23)).toEqual([-30, -6]);
  expect(levelsOf({ step_s: 0.1, momentary: [], short_term: [] }, -14)).toEqual([-42, -12]);
});

test("a fade-out to nothing does not press everything else together", () => {
  const fade = Array.from({ length: 10 }, (_, k) => -40 - 8 * k);
  const timeline = { step_s: 0.1, momentary: [-12], short_term: [...Array<number>(500).fill(-14), ...fade] };

  expect(levelsOf(timeline, -14)[0]).toBeGreaterThanOrEqual(-36);
});
