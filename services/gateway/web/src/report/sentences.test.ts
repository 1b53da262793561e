import { expect, test } from "vitest";

import { loudnessNext, peakNext } from "./Levels";
import { inShort } from "./Verdict";

const aim = { name: "Spotify", lufs: -14, ceiling_dbtp: -1 };

test("a verdict in short counts what matters, and says so when nothing does", () => {
  expect(inShort(0, 0)).toBe("Nothing stands out");
  expect(inShort(0, 1)).toBe("One thing to look at");
  expect(inShort(2, 3)).toBe("2 things to mend, 3 more to look at");
});

test("a loudness is told next to its target, and silence has none", () => {
  expect(loudnessNext(-11.3, aim)).toBe("2.7 LU louder than Spotify’s −14 LUFS.");
  expect(loudnessNext(-14.02, aim)).toBe("Just what Spotify asks for.");
  expect(loudnessNext(null, aim)).toMatch(/no loudness/);
});

test("a peak is told next to the ceiling, to the digit that is printed", () => {
  expect(peakNext(-0.4, aim)).toBe("0.6 dB over Spotify’s ceiling of −1 dBTP.");
  expect(peakNext(-0.97, aim)).toBe("Just at Spotify’s ceiling of −1 dBTP.");
  expect(peakNext(-3, aim)).toBe("2.0 dB under Spotify’s ceiling of −1 dBTP.");
});
