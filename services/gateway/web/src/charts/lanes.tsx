/** The lanes of the time chart, one over the other, each with the time axis that it is given. */

import { useMemo } from "preact/hooks";

import type { Segment, Timeline } from "../api/types";
import { clock, level } from "../format";
import { columnsOf, type Peaks } from "./peaks";
import { MOMENTARY_S, readingsIn, SHORT_TERM_S, type Levels } from "./readings";
import { brokenLine, type Axis } from "./scale";
import { multiples, timeTicks } from "./ticks";
import type { View } from "./view";

interface LaneProps {
  view: View;
  x: Axis;
  /** Where the lane begins, and how high it is, in pixels. */
  top: number;
  height: number;
}

interface LoudnessLaneProps extends LaneProps {
  timeline: Timeline;
  y: Axis;
  /** The id of what cuts off what lies outside the plot. */
  clip: string;
  target: { label: string; value: number } | null;
}

/** Draw momentary loudness thin and short-term loudness thick, and the target as a line. */
export function LoudnessLane(props: LoudnessLaneProps) {
  const { timeline, y, target, view, x, top, height, clip } = props;
  const [left, right] = x.range();
  const [low, high] = y.domain();
  const path = (levels: Levels, windowS: number) =>
    brokenLine(
      readingsIn(levels, timeline.step_s, windowS, view, right - left).map(({ time, lufs }) =>
        lufs === null ? null : [x(time), y(lufs)],
      ),
    );
  const [momentary, shortTerm] = useMemo(
    () => [path(timeline.momentary, MOMENTARY_S), path(timeline.short_term, SHORT_TERM_S)],
    [timeline, view, left, right, low, high, height],
  );
  return (
    <g>
      {multiples(low, high, high - low > 36 ? 12 : 6).map((tick) => (
        <g>
          <line class="grid" x1={left} x2={right} y1={y(tick)} y2={y(tick)} />
          <text class="axis" x={left - 8} y={y(tick)} text-anchor="end" dominant-baseline="central">
            {level(tick, 0)}
          </text>
        </g>
      ))}
      <text class="axis" x={0} y={top - 8}>
        LUFS
      </text>
      <g clip-path={`url(#${clip})`}>
        <path class="momentary" d={momentary} />
        <path class="short-term" d={shortTerm} />
      </g>
      {target && (
        <g>
          <line class="aim dashed" x1={left} x2={right} y1={y(target.value)} y2={y(target.value)} />
          <text class="aim-label" x={right} y={top - 8} text-anchor="end">
            {`- - ${target.label} ${level(target.value, 0)} LUFS`}
          </text>
        </g>
      )}
    </g>
  );
}

interface WaveLaneProps extends LaneProps {
  peaks: Peaks;
}

/** Draw all samples: between the least and the greatest of each pixel. */
export function WaveLane({ peaks, view, x, top, height }: WaveLaneProps) {
  const [left, right] = x.range();
  const middle = top + height / 2;
  const d = useMemo(() => {
    const columns = columnsOf(peaks, view, Math.floor(right - left));
    const y = (sample: number) => middle - Math.max(-1, Math.min(1, sample)) * (height / 2);
    const upper = columns.map(({ high }, k) => `${left + k},${(y(high) - 0.4).toFixed(1)}`);
    const lower = columns.map(({ low }, k) => `${left + k},${(y(low) + 0.4).toFixed(1)}`);
    return columns.length ? `M${upper.join("L")}L${lower.reverse().join("L")}Z` : "";
  }, [peaks, view, left, right, middle, height]);
  return (
    <g>
      <line class="grid" x1={left} x2={right} y1={top} y2={top} />
      <line class="grid" x1={left} x2={right} y1={top + height} y2={top + height} />
      <path class="wave" d={d} />
    </g>
  );
}

interface SpeechLaneProps extends LaneProps {
  segments: Segment[];
  loudest: number | null;
  quietest: number | null;
  clip: string;
}

/** Draw where there is speech, and what is said where there is room for it. */
export function SpeechLane(props: SpeechLaneProps) {
  const { segments, loudest, quietest, view, x, top, height, clip } = props;
  const [left, right] = x.range();
  return (
    <g clip-path={`url(#${clip})`}>
      {segments
        .filter(({ start, end }) => end > view.start && start < view.end)
        .map((segment) => {
          const begin = Math.max(left, x(segment.start));
          const wide = Math.max(1, Math.min(right, x(segment.end)) - begin - 1);
          const sign = loudest === quietest ? "" : { [loudest ?? -1]: "▲", [quietest ?? -1]: "▼" }[segment.id];
          const kind = sign ? "speech marked" : "speech";
          return (
            <g>
              <rect class={kind} x={begin} y={top} width={wide} height={height} rx={3} />
              <text class="speech-text" x={begin + 5} y={top + height / 2} dominant-baseline="central">
                {fitted(segment.text.trim(), wide - 8)}
              </text>
              {sign && (
                <text class="speech-sign" x={begin + wide / 2} y={top - 2} text-anchor="middle">
                  {sign}
                </text>
              )}
            </g>
          );
        })}
    </g>
  );
}

/** Draw the times under all lanes. */
export function TimeAxis({ view, x, top }: Omit<LaneProps, "height">) {
  const [left, right] = x.range();
  const ticks = timeTicks(view, Math.max(2, Math.floor((right - left) / 72)));
  const digits = ticks.some((tick) => tick % 1) ? 1 : 0;
  return (
    <g>
      {ticks.map((tick) => (
        <g>
          <line class="tick" x1={x(tick)} x2={x(tick)} y1={top} y2={top + 4} />
          <text class="axis" x={x(tick)} y={top + 17} text-anchor={x(tick) > right - 16 ? "end" : "middle"}>
            {clock(tick, digits)}
          </text>
        </g>
      ))}
    </g>
  );
}

/** As much of a text as there is room for, a letter taking six pixels. */
function fitted(text: string, wide: number): string {
  const room = Math.floor(wide / 6);
  if (room < 3) return "";
  return text.length <= room ? text : `${text.slice(0, room - 1).trimEnd()}…`;
}
