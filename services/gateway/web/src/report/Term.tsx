import type { ComponentChildren } from "preact";
import { useId, useState } from "preact/hooks";

/** A word of the trade, with what it means for whoever points at it or tabs to it; Escape hides it. */
export function Term({ children, means }: { children: ComponentChildren; means: string }) {
  const id = useId();
  const [isHidden, setHidden] = useState(false);
  return (
    <span
      class={isHidden ? "term hidden" : "term"}
      onMouseLeave={() => setHidden(false)}
      onKeyDown={(event) => event.key === "Escape" && setHidden(true)}
      onFocusOut={() => setHidden(false)}
    >
      <button type="button" class="term-word label" aria-describedby={id}>
        {children}
      </button>
      <span role="tooltip" id={id} class="term-means">
        {means}
      </span>
    </span>
  );
}
