import { useRef, useState } from "preact/hooks";

import type { Report, Timeline } from "../api/types";
import { usePlayhead, type Playhead } from "../charts/playhead";
import { measure } from "../charts/say";
import { levelsAt } from "../charts/TimeCursor";
import { clock } from "../format";
import { isHeard, spokenAt, type Spoken } from "./words";

const stateOf = ({ canPlay, isPlaying }: Playhead) => (canPlay ? (isPlaying ? 2 : 1) : 0);
const timeOf = ({ time }: Playhead) => Math.floor(time * 10);
const shownOf = ({ shown }: Playhead) => Math.round(shown * 20);

/** The button that plays, and where it is. */
export function PlayButton({ playhead }: { playhead: Playhead }) {
  const state = usePlayhead(playhead, stateOf);
  const time = usePlayhead(playhead, timeOf) / 10;
  return (
    <div class="player">
      <button
        type="button"
        class="play"
        disabled={!state}
        aria-label={state === 2 ? "Pause" : "Play"}
        onClick={() => playhead.toggle()}
      >
        <svg viewBox="0 0 24 24" aria-hidden="true" focusable="false">
          <path d={state === 2 ? "M7 5h3.5v14H7zM13.5 5H17v14h-3.5z" : "M8 4.8v14.4L19.5 12z"} />
        </svg>
      </button>
      <span class="player-time">
        {clock(time, 1)} <span class="muted">/ {clock(playhead.end)}</span>
      </span>
    </div>
  );
}

interface ReadoutProps {
  playhead: Playhead;
  timeline: Timeline | null;
  spoken: readonly Spoken[];
}

/** Say in numbers what the cursor is at. Not told aloud: the slider and the words say it themselves. */
export function Readout({ playhead, timeline, spoken }: ReadoutProps) {
  const shown = usePlayhead(playhead, shownOf) / 20;
  const { momentary, shortTerm } = levelsAt(timeline, shown);
  const word = spokenAt(spoken, shown);
  return (
    <dl class="readout time-readout" aria-hidden="true">
      <div>
        <dt>Time</dt>
        <dd>{clock(shown, 1)}</dd>
      </div>
      {timeline && (
        <>
          <div>
            <dt class="key-momentary">Momentary</dt>
            <dd>{momentary === null ? "–" : measure(momentary, "LUFS")}</dd>
          </div>
          <div>
            <dt class="key-short-term">Short-term</dt>
            <dd>{shortTerm === null ? "–" : measure(shortTerm, "LUFS")}</dd>
          </div>
        </>
      )}
      {spoken.length > 0 && (
        <div class="said">
          <dt>Said</dt>
          <dd>{word ? <Said {...{ spoken, word }} isNow={isHeard(word, shown)} /> : "–"}</dd>
        </div>
      )}
    </dl>
  );
}

/** The word in its sentence, with what fits around it. */
function Said({ spoken, word, isNow }: { spoken: readonly Spoken[]; word: Spoken; isNow: boolean }) {
  const words = spoken
    .slice(Math.max(0, word.index - 3), word.index + 12)
    .filter((each) => each.segment === word.segment);
  return (
    <>
      {words.map((each) => (
        <>
          {each.lead}
          {isNow && each.index === word.index ? <mark>{each.text}</mark> : each.text}
        </>
      ))}
    </>
  );
}

interface BringProps {
  report: Report;
  onFile: (file: File) => void;
}

/** A report that was opened by its link has no audio: whoever has the file can add it. */
export function BringFile({ report, onFile }: BringProps) {
  const field = useRef<HTMLInputElement>(null);
  const [isOther, setOther] = useState(false);
  const choose = (file: File | undefined) => {
    if (!file) return;
    if (file.size === report.bytes) onFile(file);
    else setOther(true);
  };
  return (
    <p class="bring muted">
      <span role="status">
        {isOther
          ? `That is another file: this report is of one with ${report.bytes.toLocaleString("en")} bytes. `
          : "The audio was not kept, so that there is nothing to be heard here. "}
      </span>
      <button type="button" class="linklike" onClick={() => field.current?.click()}>
        Choose the file again
      </button>{" "}
      to hear it: it stays in this browser.
      <input ref={field} type="file" hidden onChange={(event) => choose(event.currentTarget.files?.[0])} />
    </p>
  );
}
