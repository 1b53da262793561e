import { describe, expect, it } from "vitest";

import { clock, duration, level, signed, size } from "./format";

describe("numbers as people read them", () => {
  it.each([
    [level(-14), "−14.0"],
    [level(-0.04), "0.0"],
    [level(null), "–"],
    [signed(3.25), "+3.3"],
    [signed(-0.01), "0.0"],
    [clock(59.6), "1:00"],
    [clock(3725), "1:02:05"],
    [clock(7.26, 1), "0:07.3"],
    [duration(0.0304), "30 ms"],
    [duration(9.96), "10 s"],
    [duration(125), "2 min"],
    [duration(7200), "2 h"],
    [size(999), "999 B"],
    [size(27_763_244), "28 MB"],
    [size(1_500), "1.5 kB"],
  ])("writes %s as %s", (given, expected) => {
    expect(given).toBe(expected);
  });
});
