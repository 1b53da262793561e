import { expect, test } from "vitest";

import { columnsOf, decodeRate, peaksOf } from "./peaks";

const silent = async () => undefined;

test("a peak of any channel is in the waveform, where it is in time", async () => {
  const [left, right] = [new Float32Array(48_000), new Float32Array(48_000)];
  left[12_000] = 0.5;
  right[36_000] = -0.75;

  const peaks = await peaksOf([left, right], 48_000, silent);

  const columns = columnsOf(peaks, { start: 0, end: 1 }, 4);
  expect(columns.map(({ high }) => high)).toEqual([0, 0.5, 0, 0]);
  expect(columns.map(({ low }) => low)).toEqual([0, 0, 0, -0.75]);
});

test("others have their turn while a long file is looked through", async () => {
  let breaths = 0;

  await peaksOf([new Float32Array(480_000)], 48_000, async () => void (breaths += 1));

  expect(breaths).toBeGreaterThanOrEqual(9);
});

test("a column that is finer than the waveform shows the step it lies in", async () => {
  const samples = new Float32Array(48_000).fill(0.25);

  const columns = columnsOf(await peaksOf([samples], 48_000, silent), { start: 0.5, end: 0.501 }, 10);

  expect(columns.every(({ high }) => high === 0.25)).toBe(true);
});

test("nothing has no waveform", async () => {
  const peaks = await peaksOf([], 48_000, silent);

  expect(columnsOf(peaks, { start: 0, end: 1 }, 2)).toEqual([
    { low: 0, high: 0 },
    { low: 0, high: 0 },
  ]);
});

test("a file is decoded at its own rate, a long one at less, a very long one not at all", () => {
  expect(decodeRate(300, 2, 44_100)).toBe(44_100);
  expect(decodeRate(1200, 2, 48_000)).toBe(16_666);
  expect(decodeRate(7200, 2, 48_000)).toBeNull();
});
