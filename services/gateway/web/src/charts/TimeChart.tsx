import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";

import type { Segment, Timeline } from "../api/types";
import { clock, level } from "../format";
import { Figure } from "./Figure";
import { LoudnessLane, SpeechLane, TimeAxis, WaveLane } from "./lanes";
import type { Peaks } from "./peaks";
import type { Picture } from "./picture";
import type { Playhead } from "./playhead";
import { levelsOf } from "./readings";
import { measure, shortened } from "./say";
import { scaleLinear } from "./scale";
import { Cursor, levelsAt, Scrubber } from "./TimeCursor";
import { useWidth } from "./useWidth";
import { following, panned, whole, zoomed, type View } from "./view";

const GAP = 12;
const TOP = 26;
const WAVE = 72;
const SPEECH = 24;
const AXIS = 22;
const MOST_ROWS = 48;
const JUMP_S = 0.5;

interface TimeChartProps {
  playhead: Playhead;
  timeline: Timeline | null;
  peaks: Peaks | null;
  segments: Segment[];
  loudest: number | null;
  quietest: number | null;
  target: { label: string; value: number } | null;
  picture: Picture;
  /** What stands over the chart: what the cursor is at. */
  children: ComponentChildren;
}

/** Draw loudness, waveform and speech over one time axis, with a cursor through all of them. */
export function TimeChart(props: TimeChartProps) {
  const { playhead, timeline, peaks, segments, loudest, quietest, target, picture, children } = props;
  const frame = useRef<HTMLDivElement>(null);
  const drawing = useRef<SVGSVGElement>(null);
  const clip = useId();
  const width = useWidth(frame, 900);
  const [view, setView] = useState<View>(() => whole(playhead.end));
  useFollowing(playhead, setView);
  const zoom = (factor: number, at: number) => setView((now) => zoomed(now, factor, at, playhead.end));

  const lanes = stack({
    loudness: timeline ? (width < 560 ? 170 : 240) : 0,
    wave: peaks ? WAVE : 0,
    speech: segments.length ? SPEECH : 0,
  });
  const [left, right] = [36, width - 4];
  const x = scaleLinear([view.start, view.end], [left, right]);
  const y = scaleLinear(levelsOf(timeline, target?.value ?? null), [
    lanes.loudness.top + lanes.loudness.height,
    lanes.loudness.top,
  ]);
  const title = "Loudness over time";
  const isWhole = view.end - view.start >= whole(playhead.end).end - 1e-6;
  return (
    <Figure
      title={title}
      picture={picture}
      drawing={drawing}
      table={() => <Table end={playhead.end} timeline={timeline} segments={segments} />}
    >
      <div class="time-head">
        {children}
        <div class="time-zoom" role="group" aria-label="Zoom">
          <button
            type="button"
            class="button quiet"
            aria-label="Zoom out"
            disabled={isWhole}
            onClick={() => zoom(0.5, playhead.time)}
          >
            −
          </button>
          <button type="button" class="button quiet" aria-label="Zoom in" onClick={() => zoom(2, playhead.time)}>
            +
          </button>
          <button type="button" class="button quiet" disabled={isWhole} onClick={() => setView(whole(playhead.end))}>
            Whole file
          </button>
        </div>
      </div>
      <div ref={frame} class="chart time-chart">
        <svg
          ref={drawing}
          role="img"
          aria-label={told(props)}
          width={width}
          height={lanes.height}
          viewBox={`0 0 ${width} ${lanes.height}`}
        >
          <clipPath id={clip}>
            <rect x={left} y={0} width={right - left} height={lanes.height} />
          </clipPath>
          <clipPath id={`${clip}-curve`}>
            <rect x={left} y={lanes.loudness.top} width={right - left} height={lanes.loudness.height} />
          </clipPath>
          {timeline && (
            <LoudnessLane {...lanes.loudness} {...{ timeline, y, target, view, x }} clip={`${clip}-curve`} />
          )}
          {peaks && <WaveLane {...lanes.wave} {...{ peaks, view, x }} />}
          {segments.length > 0 && <SpeechLane {...lanes.speech} {...{ segments, loudest, quietest, view, x, clip }} />}
          <TimeAxis view={view} x={x} top={lanes.height - AXIS} />
        </svg>
        <svg class="cursor-layer" aria-hidden="true" width={width} height={lanes.height}>
          <Cursor {...{ playhead, timeline, x, y }} height={lanes.height - AXIS} />
        </svg>
        <Scrubber
          {...{ playhead, timeline, x }}
          onZoom={zoom}
          onPan={(by) => setView((now) => panned(now, by, playhead.end))}
        />
      </div>
    </Figure>
  );
}

/** Turn the page when the sound leaves it, or jumps; not when somebody has turned it away. */
function useFollowing(playhead: Playhead, setView: (change: (now: View) => View) => void): void {
  useEffect(() => {
    let last = playhead.time;
    return playhead.listen(() => {
      const [before, time] = [last, playhead.time];
      if (time === before) return;
      last = time;
      const isJump = Math.abs(time - before) > JUMP_S;
      setView((now) =>
        isJump || (before >= now.start && before <= now.end) ? following(now, time, playhead.end) : now,
      );
    });
  }, [playhead, setView]);
}

interface Lane {
  top: number;
  height: number;
}

/** Put the lanes that there are under each other. */
function stack<Name extends string>(heights: Record<Name, number>): Record<Name, Lane> & { height: number } {
  let top = TOP;
  const lanes = {} as Record<Name, Lane>;
  for (const name of Object.keys(heights) as Name[]) {
    lanes[name] = { top, height: heights[name] };
    top += heights[name] ? heights[name] + GAP : 0;
  }
  return { ...lanes, height: top + AXIS } as Record<Name, Lane> & { height: number };
}

/** Say in words what the picture shows. */
function told({ timeline, peaks, segments, target, playhead, loudest }: TimeChartProps): string {
  const parts = [`${clock(playhead.end)} of audio.`];
  if (timeline) {
    const momentary = timeline.momentary.filter((lufs) => lufs !== null);
    const shortTerm = timeline.short_term.filter((lufs) => lufs !== null);
    if (momentary.length) parts.push(`Momentary loudness up to ${measure(max(momentary), "LUFS")}.`);
    if (shortTerm.length)
      parts.push(`Short-term loudness from ${level(min(shortTerm))} to ${measure(max(shortTerm), "LUFS")}.`);
    if (target) parts.push(`${target.label}: ${measure(target.value, "LUFS")}.`);
  }
  if (peaks) parts.push("The waveform.");
  if (segments.length) parts.push(`${segments.length} segments of speech.`);
  const most = segments.find(({ id }) => id === loudest);
  if (most) parts.push(`The loudest, at ${clock(most.start)}: ${shortened(most.text.trim(), 80)}`);
  return parts.join(" ");
}

function max(values: number[]): number {
  return values.reduce((most, value) => Math.max(most, value), -Infinity);
}

function min(values: number[]): number {
  return values.reduce((least, value) => Math.min(least, value), Infinity);
}

/** The same in so many rows that one reads them; the CSV has every reading. */
function Table({ end, timeline, segments }: { end: number } & Pick<TimeChartProps, "timeline" | "segments">) {
  const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600].find((each) => end / each <= MOST_ROWS) ?? 900;
  const times = Array.from({ length: Math.floor(end / step) + 1 }, (_, row) => row * step);
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Time</th>
          <th scope="col">Momentary, LUFS</th>
          <th scope="col">Short-term, LUFS</th>
          <th scope="col">Speech that begins</th>
        </tr>
      </thead>
      <tbody>
        {times.map((time) => {
          const { momentary, shortTerm } = levelsAt(timeline, time);
          const begun = segments.filter(({ start }) => start >= time && start < time + step);
          return (
            <tr>
              <th scope="row">{clock(time)}</th>
              <td>{momentary === null ? "none" : level(momentary)}</td>
              <td>{shortTerm === null ? "none" : level(shortTerm)}</td>
              <td class="prose">{begun.map(({ text }) => text.trim()).join(" ")}</td>
            </tr>
          );
        })}
      </tbody>
    </table>
  );
}
