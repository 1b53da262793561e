import { useEffect, useId, useMemo, useRef, useState } from "preact/hooks";

import type { Report, Timeline } from "../api/types";
import { Playhead } from "../charts/playhead";
import { TimeChart } from "../charts/TimeChart";
import { pictureOf } from "./names";
import type { Aim } from "./Levels";
import { SpeechNumbers } from "./Numbers";
import { BringFile, PlayButton, Readout } from "./Player";
import { Transcript } from "./Transcript";
import { useSound } from "./useSound";
import { useWaveform, type Waveform } from "./useWaveform";
import { spokenOf } from "./words";

interface OverTimeProps {
  report: Report;
  given: File | null;
  aim: Aim;
  isExample: boolean;
}

/** Loudness, waveform, words and sound, all at the same time. */
export function OverTime({ report, given, aim, isExample }: OverTimeProps) {
  const id = useId();
  const section = useRef<HTMLElement>(null);
  const [file, setFile] = useState(given);
  useEffect(() => setFile(given), [given]);
  const duration = report.audio?.duration ?? report.audio_length ?? lastWord(report);
  const playhead = useMemo(() => new Playhead(duration), [duration]);
  const sound = useSound(file, playhead);
  const waveform = useWaveform(file, report.audio);
  const segments = report.transcript?.segments ?? [];
  const spoken = useMemo(() => spokenOf(segments), [report.transcript]);
  useSpace(section, playhead);
  const timeline = heardOf(report);
  const peaks = waveform.state === "drawn" ? waveform.peaks : null;
  const { transcript, speech } = report;
  return (
    <>
      {duration > 0 && (timeline || peaks || segments.length > 0) && (
        <section ref={section} class="panel over-time" data-listening aria-labelledby={id}>
          <header class="section-head">
            <h3 id={id}>Over time</h3>
            {!isExample && <PlayButton playhead={playhead} />}
          </header>
          {sound.address && <audio ref={sound.audio} src={sound.address} preload="auto" onError={sound.onBroken} />}
          <TimeChart
            {...{ playhead, timeline, peaks, segments }}
            loudest={speech?.loudest_segment ?? null}
            quietest={speech?.quietest_segment ?? null}
            target={timeline && { label: aim.name, value: aim.lufs }}
            picture={pictureOf(report, "over time")}
          >
            <Readout {...{ playhead, timeline, spoken }} />
          </TimeChart>
          <p class="fine-print">
            {timeline
              ? "A reading is drawn in the middle of its window, 0.4 s or 3 s, above the words that it measures. "
              : report.loudness?.timeline === null &&
                "This upload asked for no timeline (timeline=true), so there is no curve. "}
            {speech?.loudest_segment != null && "▲ and ▼ are the loudest and the quietest sentence. "}
            Arrow keys move the cursor, plus and minus zoom{file && ", space plays"}.
          </p>
          {!file && !isExample && <BringFile report={report} onFile={setFile} />}
          {file && <SoundTrouble isBroken={sound.isBroken} waveform={waveform} />}
        </section>
      )}
      {transcript && (
        <Transcript
          {...{ report, transcript, playhead, spoken, timeline }}
          numbers={<SpeechNumbers report={report} />}
        />
      )}
    </>
  );
}

function SoundTrouble({ isBroken, waveform }: { isBroken: boolean; waveform: Waveform }) {
  const troubles = [
    isBroken && "This browser cannot play the format of this file.",
    waveform.state === "drawing" && "Drawing the waveform …",
    waveform.state === "undecoded" && "This browser cannot decode the file, so there is no waveform.",
    waveform.state === "too long" && "The file is too long for its waveform to be drawn here.",
  ].filter(Boolean);
  return (
    <p class="bring muted" role="status">
      {troubles.join(" ")}
    </p>
  );
}

/** Space plays and pauses, unless something that has the focus wants it for itself. */
function useSpace(section: { current: HTMLElement | null }, playhead: Playhead): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      if (event.key !== " " || event.defaultPrevented || !playhead.canPlay) return;
      const target = event.target as Element;
      const report = section.current?.closest(".report");
      const isAlone = document.querySelectorAll("[data-listening]").length === 1;
      if (!report?.contains(target) && !(target === document.body && isAlone)) return;
      const wants = "button:not(.word), a, input, select, textarea, summary, [contenteditable]";
      if (target.closest(wants)) return;
      event.preventDefault();
      playhead.toggle();
    };
    document.addEventListener("keydown", pressed);
    return () => document.removeEventListener("keydown", pressed);
  }, [section, playhead]);
}

/** The curve, unless all of it is silent. */
function heardOf({ loudness }: Report): Timeline | null {
  const timeline = loudness?.timeline ?? null;
  return timeline?.momentary.some((lufs) => lufs !== null) ? timeline : null;
}

/** While it runs, what was heard so far is all that is known of how long it is. */
function lastWord({ transcript }: Report): number {
  return transcript?.segments.at(-1)?.end ?? 0;
}
