const COLUMNS = 72;
const ROWS = 12;

/** Columns of lights, as on a meter bridge: an ornament that says what this is about. */
export function Lights() {
  return (
    <svg class="lights" viewBox={`0 0 ${COLUMNS * 10} ${ROWS * 6}`} preserveAspectRatio="none" aria-hidden="true">
      {Array.from({ length: COLUMNS }, (_, column) => {
        const lit = heightAt(column);
        return (
          <g key={column} transform={`translate(${column * 10} 0)`}>
            {Array.from({ length: ROWS }, (_, row) => (
              <rect
                key={row}
                class={row < lit ? (row >= ROWS - 2 ? "lit hot" : "lit") : "unlit"}
                x="1.5"
                y={(ROWS - 1 - row) * 6 + 1}
                width="7"
                height="4"
                rx="1"
              />
            ))}
          </g>
        );
      })}
    </svg>
  );
}

/** How many lights of a column are lit: a made wave, calm at the sides. */
function heightAt(column: number): number {
  const at = column / (COLUMNS - 1);
  const swell = Math.sin(Math.PI * at) ** 0.8;
  const wave = 0.55 + 0.22 * Math.sin(column * 0.55) + 0.16 * Math.sin(column * 1.37 + 1) + 0.1 * Math.sin(column * 2.9);
  return Math.max(1, Math.round(ROWS * swell * wave));
}
