import { expect, test } from "vitest";

import { expiryOf, nextLook } from "./expiry";

const now = new Date("2026-11-21T22:56:00Z");
const inS = (seconds: number) => new Date(now.getTime() + 1000 * seconds);
const at = (instant: Date) => instant.toISOString().slice(11, 16);

test("a link says when it ends", () => {
  expect(expiryOf(inS(840), now, at)).toBe("expires in 14 minutes, at 23:10");
  expect(expiryOf(inS(59), now, at)).toBe("expires in 59 seconds, at 22:56");
  expect(expiryOf(inS(1), now, at)).toBe("expires in 1 second, at 22:56");
  expect(expiryOf(inS(7200), now, at)).toBe("expires in 2 hours, at 00:56");
});

test("a link that has ended says so", () => {
  expect(expiryOf(inS(0), now, at)).toBe("expired at 22:56");
});

test("it is looked at more often towards the end", () => {
  expect(nextLook(inS(600), now)).toBeGreaterThan(nextLook(inS(30), now));
});
