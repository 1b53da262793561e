import { expect, test } from "vitest";

import { timeTicks } from "./ticks";
import { following, panned, whole, zoomed } from "./view";

test("what is under the pointer stays there while zooming", () => {
  const view = zoomed({ start: 0, end: 100 }, 4, 60, 100);

  expect(view.end - view.start).toBeCloseTo(25);
  expect((60 - view.start) / 25).toBeCloseTo(0.6);
});

test("zooming ends at the whole file, and at two seconds", () => {
  expect(zoomed({ start: 20, end: 80 }, 0.1, 50, 100)).toEqual({ start: 0, end: 100 });
  const near = zoomed({ start: 10, end: 13 }, 100, 11, 100);
  expect(near.end - near.start).toBeCloseTo(2);
});

test("a file that is shorter than two seconds is always shown whole", () => {
  expect(zoomed(whole(0.5), 8, 0.2, 0.5)).toEqual({ start: 0, end: 0.5 });
});

test("a view moves no further than the ends", () => {
  expect(panned({ start: 10, end: 20 }, -50, 100)).toEqual({ start: 0, end: 10 });
  expect(panned({ start: 10, end: 20 }, 500, 100)).toEqual({ start: 90, end: 100 });
});

test("the page is turned only when the sound has left it", () => {
  const view = { start: 10, end: 20 };

  expect(following(view, 20, 100)).toBe(view);
  expect(following(view, 20.1, 100).start).toBeCloseTo(19.1);
  expect(following(view, 99, 100)).toEqual({ start: 90, end: 100 });
});

test("times are marked where they are round", () => {
  expect(timeTicks({ start: 0, end: 96.4 }, 10)).toEqual([0, 10, 20, 30, 40, 50, 60, 70, 80, 90]);
  expect(timeTicks({ start: 61.2, end: 63.2 }, 5)).toEqual([61.5, 62, 62.5, 63]);
});
