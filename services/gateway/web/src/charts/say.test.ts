import { expect, test } from "vitest";

import { over, told } from "./Meter";
import { count, edges, measure, shortened } from "./say";

test("a measure has its unit, and silence has none", () => {
  expect(measure(-14.04, "LUFS")).toBe("−14.0\u00a0LUFS");
  expect(measure(null, "LUFS")).toBe("none");
});

test("a band is told by its edges", () => {
  expect(edges(20, 60)).toBe("20–60\u00a0Hz");
  expect(edges(500, 2000)).toBe("500\u00a0Hz–2\u00a0kHz");
  expect(edges(6000, 20_000)).toBe("6–20\u00a0kHz");
});

test("an amount has its noun", () => {
  expect(count(1, "sample")).toBe("1\u00a0sample");
  expect(count(2048, "sample")).toBe("2,048\u00a0samples");
});

test("a long text is cut at a word", () => {
  expect(shortened("Hold the line, hold the line", 16)).toBe("Hold the line,…");
  expect(shortened("short", 16)).toBe("short");
});

test("levels are compared as they are printed, like the verdict does", () => {
  expect(over(-0.96, -1)).toBe(false);
  expect(over(-0.94, -1)).toBe(true);
});

test("a meter tells in a sentence what it shows", () => {
  expect(told("True peak", -0.6, "dBTP", { label: "the ceiling", value: -1 })).toBe(
    "True peak: −0.6\u00a0dBTP, 0.4 dB over the ceiling of −1.0\u00a0dBTP.",
  );
  expect(told("True peak", null, "dBTP", { label: "the ceiling", value: -1 })).toBe("True peak: none.");
});
