/**
 * From values to places, and from places to a line.
 *
 * d3-scale and d3-shape do this too, and bring colours, formats and pies: 15 kB by gzip.
 */

export type Pair = [number, number];

export interface Axis {
  (value: number): number;
  domain(): Pair;
  range(): Pair;
}

/** Map `domain` to `range`; clamped, what lies outside is put at the end. */
export function scaleLinear(domain: Pair, range: Pair, { clamp = false } = {}): Axis {
  const [from, to] = domain;
  const [first, last] = range;
  const place = (value: number) => {
    const share = (value - from) / (to - from || 1);
    return first + (clamp ? Math.min(1, Math.max(0, share)) : share) * (last - first);
  };
  return Object.assign(place, { domain: () => domain, range: () => range });
}

/** Write an SVG path through points; it is broken where there is none. */
export function brokenLine(points: readonly (Pair | null)[]): string {
  let isBroken = true;
  const steps = points.map((point) => {
    const step = point && `${isBroken ? "M" : "L"}${hundredths(point[0])},${hundredths(point[1])}`;
    isBroken = point === null;
    return step ?? "";
  });
  return steps.join("");
}

function hundredths(place: number): number {
  return Math.round(place * 100) / 100;
}
