import { describe, expect, it } from "vitest";

import type { State, Update } from "../api/types";
import type { Phase } from "../desk";
import { said, stage } from "./stages";

function working(status: State, change: Partial<Update> = {}, via: "socket" | "polling" = "socket"): Phase {
  const update: Update = {
    type: "state",
    revision: 1,
    status,
    progress: 0,
    queue: null,
    segments: [],
    report: null,
    ...change,
  };
  return { name: "working", token: "t", update, heard: [], via };
}

describe("where a file is, in words", () => {
  it.each<[string, Phase]>([
    ["Uploading, 42 %", { name: "uploading", share: 0.42 }],
    ["Arriving, the gateway puts it away", { name: "uploading", share: 1 }],
    ["Queued, next", working("queued", { queue: { position: 1, eta_s: null } })],
    ["Queued, 2 before it, done in about 13 s", working("queued", { queue: { position: 3, eta_s: 12.6 } })],
    ["Queued, 3 before it", working("running", { progress: 0.5, queue: { position: 4, eta_s: null } })],
    ["Measuring, 30 %", working("running", { progress: 0.3 })],
    ["Listening, 60 %; the live line is down, asking instead", working("running", { progress: 0.6 }, "polling")],
  ])("tells %s", (words, phase) => {
    const now = stage(phase, "loudness,transcribe");

    expect(`${now?.title}, ${now?.detail}`).toBe(words);
  });

  it("tells a screen reader quarters, not every percent", () => {
    const texts = [0.01, 0.24, 0.26, 0.49].map((progress) => said("a.wav", working("running", { progress })));

    expect(new Set(texts)).toEqual(new Set(["a.wav: 0 % done", "a.wav: 25 % done"]));
  });
});
