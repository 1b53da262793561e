import { expect, test } from "vitest";

import { example } from "./example";

const report = example();
const { loudness, peak, spectrum, speech, targets, transcript } = report;
const { momentary, short_term, step_s } = loudness!.timeline!;

/** The power that stands for these levels together, in LUFS. */
function together(levels: readonly number[]): number {
  return 10 * Math.log10(levels.reduce((sum, lufs) => sum + 10 ** (lufs / 10), 0) / levels.length);
}

/** The momentary windows that lie within a time, from end to end. */
function within(start: number, end: number): number[] {
  return momentary.filter(
    (lufs, k) => lufs !== null && (k + 1) * step_s - 0.4 >= start && (k + 1) * step_s <= end,
  ) as number[];
}

test("the example's loudness is that of its curve", () => {
  const heard = momentary.filter((lufs) => lufs !== null && lufs > -70) as number[];
  const gate = together(heard) - 10;

  expect(loudness!.threshold_lufs).toBeCloseTo(gate, 0.9);
  expect(loudness!.integrated_lufs).toBeCloseTo(together(heard.filter((lufs) => lufs > gate)), 0.9);
  expect(loudness!.momentary_max_lufs).toBeCloseTo(Math.max(...heard), 0.9);
  expect(loudness!.short_term_max_lufs).toBeCloseTo(Math.max(...short_term.map((lufs) => lufs ?? -99)), 0.9);
});

test("each line of the example is as loud as its curve is there", () => {
  for (const { start, end, loudness_lufs } of transcript!.segments)
    expect(Math.abs(together(within(start, end)) - loudness_lufs!)).toBeLessThan(0.15);
  const spoken = transcript!.segments.flatMap(({ start, end }) => within(start, end));
  expect(Math.abs(together(spoken) - speech!.speech_gated_lufs!)).toBeLessThan(0.15);
});

test("the example's numbers follow from each other", () => {
  const shares = spectrum!.bands.map(({ level_db }) => 10 ** (level_db! / 10));

  expect(shares.reduce((sum, share) => sum + share, 0)).toBeCloseTo(1, 1);
  expect(peak!.plr_lu).toBeCloseTo(peak!.true_peak_dbtp! - loudness!.integrated_lufs!, 5);
  expect(peak!.true_peak_dbtp).toBe(Math.max(...peak!.per_channel.map((each) => each.true_peak_dbtp!)));
  for (const { name, gain_db, lufs, pass, ceiling_dbtp } of targets!) {
    expect(gain_db).toBeCloseTo(lufs - loudness!.integrated_lufs!, 5);
    expect([name, pass]).toEqual([name, peak!.true_peak_dbtp! <= ceiling_dbtp && name !== "EBU R 128"]);
  }
});
