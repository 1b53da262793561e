import { expect, test } from "vitest";

import { baseOf, fileName, pictureOf } from "./names";

test("a saved file is called after the upload and what is in it", () => {
  expect(fileName("take 4.wav", "loudness", "csv")).toBe("take 4 - loudness.csv");
  expect(pictureOf({ filename: "take 4.wav" }, "over time")).toEqual({ of: "take 4", what: "over time" });
});

test("no name is a path, hides itself or has what a file system minds", () => {
  expect(baseOf("../../etc/passwd")).toBe("passwd");
  expect(baseOf('<img src=x onerror="1">.wav')).toBe("_img src=x onerror=_1__");
  expect(baseOf(".hidden")).not.toMatch(/^\./);
  expect(baseOf("a\u202e\u0000b.mp3")).toBe("a__b");
});

test("what has no name is a report, and a long one is cut", () => {
  expect(baseOf(null)).toBe("report");
  expect(baseOf(".wav")).toBe("report");
  expect([...baseOf(`${"🎧".repeat(200)}.wav`)]).toHaveLength(80);
});
