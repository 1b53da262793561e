import { useRef } from "preact/hooks";

import type { Timeline } from "../api/types";
import { clock } from "../format";
import { usePlayhead, type Playhead } from "./playhead";
import { MOMENTARY_S, readingAt, SHORT_TERM_S } from "./readings";
import { measure } from "./say";
import type { Axis } from "./scale";
import { clamp } from "./view";

export interface Levels {
  momentary: number | null;
  shortTerm: number | null;
}

/** Return both readings at a time. */
export function levelsAt(timeline: Timeline | null, time: number): Levels {
  if (!timeline) return { momentary: null, shortTerm: null };
  const { momentary, short_term, step_s } = timeline;
  return {
    momentary: readingAt(momentary, step_s, MOMENTARY_S, time),
    shortTerm: readingAt(short_term, step_s, SHORT_TERM_S, time),
  };
}

const shownOf = (playhead: Playhead) => playhead.shown;
const timeOf = (playhead: Playhead) => playhead.time;
// A screen reader that is told of every moment never comes to an end.
const spokenOf = ({ isPlaying, time }: Playhead) => (isPlaying ? 5 * Math.floor(time / 5) : time);

interface CursorProps {
  playhead: Playhead;
  timeline: Timeline | null;
  x: Axis;
  y: Axis;
  height: number;
}

/** Draw where the sound is, and what is looked at with its two readings. */
export function Cursor({ playhead, timeline, x, y, height }: CursorProps) {
  const shown = usePlayhead(playhead, shownOf);
  const time = usePlayhead(playhead, timeOf);
  const { momentary, shortTerm } = levelsAt(timeline, shown);
  const [start, end] = x.domain();
  const isIn = (at: number) => at >= start && at <= end;
  return (
    <>
      {isIn(time) && <line class="playhead" x1={x(time)} x2={x(time)} y1={0} y2={height} />}
      {isIn(shown) && (
        <>
          <line class="pointed" x1={x(shown)} x2={x(shown)} y1={0} y2={height} />
          {momentary !== null && (
            <circle class="at-momentary" cx={x(shown)} cy={clamp(y(momentary), ...bounds(y))} r={3.5} />
          )}
          {shortTerm !== null && (
            <circle class="at-short-term" cx={x(shown)} cy={clamp(y(shortTerm), ...bounds(y))} r={4.5} />
          )}
        </>
      )}
    </>
  );
}

/** What is quieter than the axis goes stands at its foot. */
function bounds(y: Axis): [number, number] {
  const [foot, head] = y.range();
  return [head, foot];
}

interface ScrubberProps {
  playhead: Playhead;
  timeline: Timeline | null;
  x: Axis;
  onZoom: (factor: number, at: number) => void;
  onPan: (by: number) => void;
}

/** The chart as something to be held: a slider over the plot, for pointers and for keys. */
export function Scrubber({ playhead, timeline, x, onZoom, onPan }: ScrubberProps) {
  const spoken = usePlayhead(playhead, spokenOf);
  const held = useRef(false);
  const [start, end] = x.domain();
  const [left, right] = x.range();
  const timeAt = (event: MouseEvent) => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    return clamp(start + ((event.clientX - box.left) / box.width) * (end - start), 0, playhead.end);
  };
  const key = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = (end - start) / (event.shiftKey ? 10 : 100);
    const moves: Record<string, () => void> = {
      ArrowLeft: () => playhead.seek(playhead.time - step),
      ArrowRight: () => playhead.seek(playhead.time + step),
      ArrowDown: () => playhead.seek(playhead.time - step),
      ArrowUp: () => playhead.seek(playhead.time + step),
      PageDown: () => playhead.seek(playhead.time - 10 * step),
      PageUp: () => playhead.seek(playhead.time + 10 * step),
      Home: () => playhead.seek(0),
      End: () => playhead.seek(playhead.end),
      Enter: () => playhead.playFrom(playhead.time),
      "+": () => onZoom(2, playhead.time),
      "-": () => onZoom(0.5, playhead.time),
    };
    const move = moves[event.key];
    if (!move) return;
    event.preventDefault();
    playhead.point(null);
    move();
  };
  const wheel = (event: WheelEvent) => {
    if (event.ctrlKey || event.metaKey) onZoom(2 ** (-event.deltaY / 120), timeAt(event));
    else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) onPan((event.deltaX / (right - left)) * (end - start));
    else return;
    event.preventDefault();
  };
  const { momentary, shortTerm } = levelsAt(timeline, spoken);
  return (
    <div
      class="scrubber"
      role="slider"
      tabIndex={0}
      aria-label="Time"
      aria-valuemin={0}
      aria-valuemax={Math.round(playhead.end * 10) / 10}
      aria-valuenow={Math.round(spoken * 10) / 10}
      aria-valuetext={`${clock(spoken, 1)}${
        timeline ? `, momentary ${measure(momentary, "LUFS")}, short-term ${measure(shortTerm, "LUFS")}` : ""
      }`}
      data-testid="scrubber"
      onKeyDown={key}
      onWheel={wheel}
      onPointerMove={(event) => (held.current ? playhead.seek(timeAt(event)) : playhead.point(timeAt(event)))}
      onPointerLeave={() => playhead.point(null)}
      onPointerDown={(event) => {
        if (event.button !== 0) return;
        held.current = true;
        event.currentTarget.setPointerCapture(event.pointerId);
        playhead.point(null);
        playhead.seek(timeAt(event));
      }}
      onPointerUp={() => {
        held.current = false;
      }}
      onPointerCancel={() => {
        held.current = false;
        playhead.point(null);
      }}
    />
  );
}
