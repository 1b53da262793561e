/** How far something is, as a row of lights; `share` is 0 to 1, and unknown while it only waits. */
export function Bar({ label, share }: { label: string; share: number | null }) {
  const percent = share === null ? null : Math.round(share * 100);
  return (
    <div
      class={`bar${percent === null ? " waiting" : ""}`}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      {...(percent === null ? {} : { "aria-valuenow": percent })}
    >
      <div class="bar-lit" style={percent === null ? {} : { inlineSize: `${percent}%` }} />
    </div>
  );
}
