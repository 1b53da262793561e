import { useRef, useState } from "preact/hooks";

import type { Band, BandName } from "../api/types";
import { level } from "../format";
import { Figure } from "./Figure";
import type { Picture } from "./picture";
import { edges, measure } from "./say";
import { scaleLinear } from "./scale";
import { multiples } from "./ticks";
import { useWidth } from "./useWidth";

const NAMES: Record<BandName, string> = {
  sub: "Sub bass",
  bass: "Bass",
  low_mid: "Low mids",
  mid: "Mids",
  high_mid: "High mids",
  air: "Highs",
};

const ROW = 40;
const RAIL = 14;
const AXIS = 24;

interface BandChartProps {
  bands: Band[];
  genre: string | null;
  picture: Picture;
}

/** Draw each band's level over the range that is usual in a genre. */
export function BandChart({ bands, genre, picture }: BandChartProps) {
  const frame = useRef<HTMLDivElement>(null);
  const drawing = useRef<SVGSVGElement>(null);
  const [shown, setShown] = useState<number | null>(null);
  const width = useWidth(frame);
  const [left, right] = width < 480 ? [84, 92] : [150, 150];
  const height = bands.length * ROW + AXIS;
  const [low, high] = reach(bands);
  const x = scaleLinear([low, high], [left, width - right], { clamp: true });
  const title = genre ? `Tonal balance, next to ${genre}` : "Tonal balance";
  return (
    <Figure title={title} picture={picture} drawing={drawing} table={() => <Table bands={bands} />}>
      <div ref={frame} class="chart">
        <svg
          ref={drawing}
          role="img"
          aria-label={`${title}. ${bands.map(sentence).join(" ")}`}
          width={width}
          height={height}
          viewBox={`0 0 ${width} ${height}`}
        >
          <text class="axis" x={6} y={height - 6}>
            {width < 480 ? "dB" : "dB of the whole"}
          </text>
          {multiples(low, high, 6).map((tick) => (
            <g>
              <line class="grid" x1={x(tick)} x2={x(tick)} y1={0} y2={height - AXIS} />
              <text class="axis" x={x(tick)} y={height - 6} text-anchor="middle">
                {level(tick, 0)}
              </text>
            </g>
          ))}
          {bands.map((band, row) => {
            const y = row * ROW + ROW / 2;
            const { reference, level_db } = band;
            return (
              <g class={row === shown ? "band shown" : "band"}>
                <rect class="band-row" x={0} y={y - ROW / 2} width={width} height={ROW} rx={6} />
                <text class="band-name" x={6} y={y - 3}>
                  {NAMES[band.name] ?? band.name}
                </text>
                <text class="axis" x={6} y={y + 12}>
                  {edges(band.low_hz, band.high_hz)}
                </text>
                {reference && (
                  <rect
                    class="range"
                    x={x(reference.low_db)}
                    y={y - RAIL / 2}
                    width={x(reference.high_db) - x(reference.low_db)}
                    height={RAIL}
                    rx={RAIL / 2}
                  />
                )}
                {level_db !== null && (
                  <path
                    class={band.position && band.position !== "in" ? "diamond out" : "diamond"}
                    d={`M${x(level_db)},${y - 9}l6,9l-6,9l-6,-9z`}
                  />
                )}
                <text class="band-level" x={width - right + 14} y={y - 3}>
                  {measure(level_db, "dB")}
                </text>
                <text
                  class={band.position && band.position !== "in" ? "band-word out" : "band-word"}
                  x={width - right + 14}
                  y={y + 12}
                >
                  {where(band)}
                </text>
              </g>
            );
          })}
        </svg>
        {/* What a pointer and the tab key find: a row each, over the drawing. */}
        <ul class="band-targets" onMouseLeave={() => setShown(null)}>
          {bands.map((band, row) => (
            <li>
              <button
                type="button"
                aria-label={sentence(band)}
                onMouseEnter={() => setShown(row)}
                onFocus={() => setShown(row)}
                onBlur={() => setShown(null)}
                onClick={() => setShown(row)}
              />
            </li>
          ))}
        </ul>
      </div>
      <p class="readout" aria-hidden="true">
        {shown === null || !bands[shown] ? hint(genre) : sentence(bands[shown])}
      </p>
    </Figure>
  );
}

/** Say where a band is, and by how much: "in range", "2.1 dB over". */
export function where({ level_db, reference, position }: Band): string {
  if (level_db === null || !reference || !position) return "";
  if (position === "below") return `${level(reference.low_db - level_db)} dB under`;
  return position === "above" ? `${level(level_db - reference.high_db)} dB over` : "in range";
}

/** Say all that is known of a band. */
export function sentence(band: Band): string {
  const { low_hz, high_hz, level_db, reference } = band;
  const name = `${NAMES[band.name] ?? band.name}, ${edges(low_hz, high_hz)}`;
  const is = level_db === null ? "nothing at all" : `${measure(level_db, "dB")} of the whole`;
  if (!reference) return `${name}: ${is}.`;
  const usual = `usual is ${level(reference.low_db)} to ${measure(reference.high_db, "dB")}`;
  const place = where(band);
  return `${name}: ${is}${place && `, ${place}`}; ${usual}.`;
}

function hint(genre: string | null): string {
  return genre
    ? "The bar is where the middle 80 % of the genre lie, the diamond is this file. Point at a band for its numbers."
    : "Measured, and held against nothing: the upload named no genre.";
}

function Table({ bands }: { bands: Band[] }) {
  return (
    <table>
      <thead>
        <tr>
          <th scope="col">Band</th>
          <th scope="col">From, to</th>
          <th scope="col">Level, dB</th>
          <th scope="col">Usual, dB</th>
          <th scope="col">Position</th>
        </tr>
      </thead>
      <tbody>
        {bands.map((band) => (
          <tr>
            <th scope="row">{NAMES[band.name] ?? band.name}</th>
            <td>{edges(band.low_hz, band.high_hz)}</td>
            <td>{band.level_db === null ? "none" : level(band.level_db)}</td>
            <td>{band.reference && `${level(band.reference.low_db)} to ${level(band.reference.high_db)}`}</td>
            <td>{where(band)}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** All bands with their ranges have room; what is further down than 48 dB stands at the edge. */
function reach(bands: Band[]): [number, number] {
  const values = bands.flatMap(({ level_db, reference }) => [
    ...(level_db === null ? [] : [level_db]),
    ...(reference ? [reference.low_db, reference.high_db] : []),
  ]);
  const low = Math.min(-18, ...values);
  return [Math.max(-48, 6 * Math.floor((low - 1) / 6)), Math.max(0, ...values) > 0 ? 6 : 0];
}
