import { useRef } from "preact/hooks";

import { level } from "../format";
import { Figure } from "./Figure";
import type { Picture } from "./picture";
import { measure } from "./say";
import { scaleLinear } from "./scale";
import { multiples } from "./ticks";
import { useWidth } from "./useWidth";

interface Bar {
  label: string;
  value: number | null;
}

interface MeterProps {
  title: string;
  unit: string;
  bars: Bar[];
  /** Smaller readings of the same scale, as marks under the bars. */
  marks?: Bar[];
  /** What the readings are held against. */
  aim: { label: string; value: number };
  /** Whether more than the aim is too much, so that the scale says so. */
  isCeiling?: boolean;
  /** From where the scale goes to where, unless a reading needs more. */
  scale: [number, number];
  step: number;
  summary: string;
  picture: Picture;
}

const BAR = 18;
const GAP = 6;
const TOP = 26;
const AXIS = 20;

/** Draw levels as a meter does: bars along a scale, and a line for what they should be. */
export function Meter(props: MeterProps) {
  const { title, unit, bars, marks = [], aim, isCeiling = false, step, summary, picture } = props;
  const frame = useRef<HTMLDivElement>(null);
  const drawing = useRef<SVGSVGElement>(null);
  const width = useWidth(frame, 420);
  const [low, high] = reach(props);
  const left = bars.length > 1 ? 30 : 0;
  const x = scaleLinear([low, high], [left, width - 12], { clamp: true });
  const foot = TOP + bars.length * (BAR + GAP);
  const marksHeight = marks.length ? 16 : 0;
  const height = foot + marksHeight + AXIS;
  const isRight = x(aim.value) > width / 2;
  return (
    <Figure
      title={title}
      picture={picture}
      drawing={drawing}
      table={() => (
        <table>
          <thead>
            <tr>
              <th scope="col">Reading</th>
              <th scope="col">{unit}</th>
            </tr>
          </thead>
          <tbody>
            {[...bars, ...marks, aim].map(({ label, value }) => (
              <tr>
                <th scope="row">{label}</th>
                <td>{value === null ? "none" : level(value)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    >
      <div ref={frame} class="chart">
        <svg
          ref={drawing}
          role="img"
          aria-label={summary}
          width={width}
          height={height}
          viewBox={`0 0 ${width} ${height}`}
        >
          {bars.map(({ label, value }, row) => {
            const y = TOP + row * (BAR + GAP);
            const isOver = isCeiling && value !== null && over(value, aim.value);
            const inside = value === null ? low : isOver ? aim.value : value;
            return (
              <g>
                {left > 0 && (
                  <text class="axis" x={0} y={y + BAR / 2} dominant-baseline="central">
                    {label}
                  </text>
                )}
                <rect class="track" x={x(low)} y={y} width={x(high) - x(low)} height={BAR} rx={4} />
                {isCeiling && (
                  <rect class="track-over" x={x(aim.value)} y={y} width={x(high) - x(aim.value)} height={BAR} />
                )}
                {value !== null && (
                  <rect
                    class="meter-bar"
                    x={x(low)}
                    y={y}
                    width={Math.max(2, x(inside) - x(low))}
                    height={BAR}
                    rx={4}
                  />
                )}
                {isOver && (
                  <rect class="meter-bar exceeded" x={x(inside)} y={y} width={x(value) - x(inside)} height={BAR} />
                )}
              </g>
            );
          })}
          <line class="aim" x1={x(aim.value)} x2={x(aim.value)} y1={TOP - 6} y2={foot} />
          <text
            class="aim-label"
            x={x(aim.value) + (isRight ? -6 : 6)}
            y={TOP - 10}
            text-anchor={isRight ? "end" : "start"}
          >
            {aim.label} {level(aim.value, 0)}
          </text>
          {marks.map(
            ({ label, value }) =>
              value !== null && (
                <g>
                  <path class="meter-mark" d={`M${x(value)},${foot - 2}l-4,7h8z`} />
                  <text class="axis" x={x(value)} y={foot + 15} text-anchor="middle">
                    {label.slice(0, 1)}
                  </text>
                </g>
              ),
          )}
          {multiples(low, high, step).map((tick) => (
            <g>
              <line
                class="tick"
                x1={x(tick)}
                x2={x(tick)}
                y1={foot + marksHeight - (marksHeight ? 0 : 2)}
                y2={foot + marksHeight + 3}
              />
              <text class="axis" x={x(tick)} y={height - 4} text-anchor="middle">
                {level(tick, 0)}
              </text>
            </g>
          ))}
        </svg>
      </div>
    </Figure>
  );
}

/** Say how a reading is to what it is held against, as the verdict compares: to 0.1 dB. */
export function over(value: number, aim: number): boolean {
  return Math.round(value * 10) > Math.round(aim * 10);
}

/** Say in a sentence what a meter shows. */
export function told(title: string, value: number | null, unit: string, aim: Bar): string {
  if (value === null || aim.value === null) return `${title}: none.`;
  const off = Math.abs(value - aim.value);
  const where = off < 0.05 ? "just at" : `${level(off)} dB ${value > aim.value ? "over" : "under"}`;
  return `${title}: ${measure(value, unit)}, ${where} ${aim.label} of ${measure(aim.value, unit)}.`;
}

function reach({ bars, marks = [], aim, scale, step }: MeterProps): [number, number] {
  const values = [...bars, ...marks, aim].flatMap(({ value }) => (value === null ? [] : [value]));
  const low = Math.min(scale[0], step * Math.floor(Math.min(...values) / step));
  const high = Math.max(scale[1], step * Math.ceil(Math.max(...values) / step));
  return [Math.max(low, -72), high];
}
