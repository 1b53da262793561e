import { expect, test } from "vitest";

import { Playhead } from "./playhead";

test("a pointer looks elsewhere, and the sound stays where it is", () => {
  const playhead = new Playhead(10);
  playhead.seek(4);

  playhead.point(7);

  expect([playhead.time, playhead.shown, playhead.isPointed]).toEqual([4, 7, true]);
  playhead.point(null);
  expect(playhead.shown).toBe(4);
});

test("there is no time before the start or after the end", () => {
  const playhead = new Playhead(10);

  playhead.seek(99);
  expect(playhead.time).toBe(10);
  playhead.seek(-1);
  expect(playhead.time).toBe(0);
});

test("without a sound it moves, and plays nothing", () => {
  const playhead = new Playhead(10);
  let told = 0;
  playhead.listen(() => (told += 1));

  playhead.playFrom(3);
  playhead.toggle();

  expect([playhead.time, playhead.isPlaying, playhead.canPlay, told]).toEqual([3, false, false, 1]);
});
