import { expect, test } from "vitest";

import type { Segment } from "../api/types";
import { bySegment, isHeard, loudnessOf, matchesOf, spokenAt, spokenOf } from "./words";

function segment(id: number, start: number, words: string[]): Segment {
  return {
    ...{ id, start, end: start + words.length, text: words.join("") },
    ...{ avg_logprob: 0, no_speech_prob: 0, compression_ratio: 1, temperature: 0, tokens: [], language: null },
    words: words.map((word, k) => ({ start: start + k, end: start + k + 0.8, word, probability: 1 })),
  };
}

const segments = [segment(0, 1, [" Hello", " wide", " world,"]), segment(1, 6, [" Café", " noir."])];
const spoken = spokenOf(segments);

test("words keep their order, their segment and their spaces", () => {
  expect(spoken.map(({ text }) => text)).toEqual(["Hello", "wide", "world,", "Café", "noir."]);
  expect(spoken.map(({ lead }) => lead)).toEqual(["", " ", " ", "", " "]);
  expect(bySegment(spoken).map((words) => words.length)).toEqual([3, 2]);
});

test("words that came without their spaces have those of the text", () => {
  const bare = { ...segment(0, 1, ["one", "two", "三", "四"]), text: "one two 三四" };

  expect(spokenOf([bare]).map(({ lead }) => lead)).toEqual(["", " ", " ", ""]);
});

test("a segment without words is one that is as long as it", () => {
  const bare = { ...segment(0, 1, [" Hello", " world"]), words: null };

  expect(spokenOf([bare])).toMatchObject([{ text: "Hello world", start: 1, end: 3 }]);
});

test("what is spoken is found by its time, and the pause after it too", () => {
  expect(spokenAt(spoken, 0.5)).toBeNull();
  expect(spokenAt(spoken, 2.1)?.text).toBe("wide");
  expect(spokenAt(spoken, 5)?.text).toBe("world,");
  expect(isHeard(spokenAt(spoken, 5)!, 5)).toBe(false);
  expect(isHeard(spokenAt(spoken, 6)!, 6)).toBe(true);
});

test("a word is as loud as the reading in its middle", () => {
  const momentary = Array.from({ length: 100 }, (_, k) => -k);

  expect(loudnessOf(spoken[0]!, { step_s: 0.1, momentary, short_term: [] })).toBe(-15);
  expect(loudnessOf(spoken[0]!, null)).toBeNull();
});

test("a search minds neither case nor accents nor punctuation, and goes across words", () => {
  expect(matchesOf(spoken, "WORLD")).toEqual([{ first: 2, last: 2 }]);
  expect(matchesOf(spoken, "cafe noir")).toEqual([{ first: 3, last: 4 }]);
  expect(matchesOf(spoken, "lo wi")).toEqual([{ first: 0, last: 1 }]);
  expect(matchesOf(spoken, "o")).toHaveLength(3);
  expect(matchesOf(spoken, "world cafe")).toEqual([]);
  expect(matchesOf(spoken, " ,")).toEqual([]);
});
