const COLUMNS = 72;
const ROWS = 12;
const [WIDE, HIGH] = [10, 6];
/** From this row on a meter is red; here it is amber, as nothing is wrong. */
const HOT_FROM = ROWS - 2;

/** Columns of lights, as on a meter bridge: an ornament that says what this is about. */
export function Lights() {
  return (
    <svg class="lights" viewBox={`0 0 ${COLUMNS * WIDE} ${ROWS * HIGH}`} preserveAspectRatio="none" aria-hidden="true">
      {(["unlit", "lit", "hot"] as const).map((state) => (
        <pattern key={state} id={`light-${state}`} width={WIDE} height={HIGH} patternUnits="userSpaceOnUse">
          <rect class={state} x="1.5" y="1" width="7" height="4" rx="1" />
        </pattern>
      ))}
      <rect width={COLUMNS * WIDE} height={ROWS * HIGH} fill="url(#light-unlit)" />
      {Array.from({ length: COLUMNS }, (_, column) => {
        const rows = heightAt(column);
        return (
          <g key={column} class="column" style={{ animationDelay: `${column * 9}ms` }}>
            <Stack state="lit" {...{ column }} from={0} to={Math.min(rows, HOT_FROM)} />
            <Stack state="hot" {...{ column }} from={HOT_FROM} to={rows} />
          </g>
        );
      })}
    </svg>
  );
}

/** Lights of a column, from one row up to another. */
function Stack({ state, column, from, to }: { state: string; column: number; from: number; to: number }) {
  if (to <= from) return null;
  const [y, height] = [(ROWS - to) * HIGH, (to - from) * HIGH];
  return <rect x={column * WIDE} y={y} width={WIDE} height={height} fill={`url(#light-${state})`} />;
}

/** How many lights of a column are lit: a made wave, calm at the sides. */
function heightAt(column: number): number {
  const at = column / (COLUMNS - 1);
  const swell = Math.sin(Math.PI * at) ** 0.8;
  const wave =
    0.55 + 0.22 * Math.sin(column * 0.55) + 0.16 * Math.sin(column * 1.37 + 1) + 0.1 * Math.sin(column * 2.9);
  return Math.max(1, Math.round(ROWS * swell * wave));
}
