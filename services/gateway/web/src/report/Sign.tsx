import type { Level } from "../api/types";

const SIGNS: Record<Level, [word: string, path: string]> = {
  ok: ["In order", "M4.5 10.5l3.5 3.5 7.5-8"],
  note: ["To look at", "M10 5.5v6M10 14.2v.3"],
  warn: ["Warning", "M10 5.5v6M10 14.2v.3"],
};

/** How much a finding matters: as a shape and, unless words stand beside it, a word. */
export function Sign({ level, isAlone = true }: { level: Level; isAlone?: boolean }) {
  const [word, path] = SIGNS[level];
  return (
    <span class={`sign ${level}`}>
      <svg viewBox="0 0 20 20" aria-hidden="true" focusable="false">
        {level === "warn" ? (
          <path class="sign-shape" d="M10 1.6 19 18H1z" />
        ) : (
          <circle class="sign-shape" cx={10} cy={10} r={8.6} />
        )}
        <path class="sign-mark" d={level === "warn" ? "M10 7.2v4.6M10 14.6v.3" : path} />
      </svg>
      {isAlone && <span class="sr-only">{word}: </span>}
    </span>
  );
}
