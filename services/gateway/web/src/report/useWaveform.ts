import { useEffect, useState } from "preact/hooks";

import type { AudioFormat } from "../api/types";
import type { Peaks } from "../charts/peaks";

export type Waveform = { state: "none" | "drawing" | "too long" | "undecoded" } | { state: "drawn"; peaks: Peaks };

/** Draw the waveform of a local file, in its own time; the code for it comes when there is one. */
export function useWaveform(file: File | null, audio: AudioFormat | null): Waveform {
  const [waveform, setWaveform] = useState<Waveform>({ state: "none" });
  useEffect(() => {
    setWaveform({ state: "none" });
    if (!file || !audio) return;
    const ending = new AbortController();
    const draw = async (): Promise<Waveform> => {
      const { waveformOf } = await import("../charts/waveform");
      const peaks = await waveformOf(file, audio, ending.signal);
      return peaks ? { state: "drawn", peaks } : { state: "too long" };
    };
    setWaveform({ state: "drawing" });
    draw().then(
      (drawn) => ending.signal.aborted || setWaveform(drawn),
      () => ending.signal.aborted || setWaveform({ state: "undecoded" }),
    );
    return () => ending.abort();
  }, [file, audio]);
  return waveform;
}
