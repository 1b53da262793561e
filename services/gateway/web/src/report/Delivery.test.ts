import { expect, test } from "vitest";

import type { Delivery, Loudness, Peak } from "../api/types";
import { reasonOf } from "./Delivery";

function told(pass: boolean, integrated_lufs: number, true_peak_dbtp: number): string {
  const target: Delivery = { name: "A", lufs: -14, ceiling_dbtp: -1, gain_db: 0, pass, source: "" };
  return reasonOf(target, {
    loudness: { integrated_lufs } as Loudness,
    peak: { true_peak_dbtp } as Peak,
  });
}

test("a target says why a file does not pass", () => {
  expect(told(true, -14, -2)).toBe("passes");
  expect(told(false, -18, -2)).toBe("too quiet");
  expect(told(false, -9, -2)).toBe("too loud");
  expect(told(false, -9, 0.3)).toBe("peak too high");
  expect(told(false, -18, -0.96)).toBe("too quiet");
});
