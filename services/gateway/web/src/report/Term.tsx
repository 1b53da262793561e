import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";

const MARGIN = 12;

/** A word of the trade, with what it means for whoever points at it or tabs to it; Escape hides it. */
export function Term({ children, means }: { children: ComponentChildren; means: string }) {
  const id = useId();
  const bubble = useRef<HTMLSpanElement>(null);
  const [isHidden, setHidden] = useState(false);
  const [isPointedAt, setPointedAt] = useState(false);
  useEffect(() => {
    if (!isPointedAt) return;
    const hide = (event: KeyboardEvent) => event.key === "Escape" && setHidden(true);
    document.addEventListener("keydown", hide);
    return () => document.removeEventListener("keydown", hide);
  }, [isPointedAt]);
  return (
    <span
      class={isHidden ? "term hidden" : "term"}
      onMouseEnter={() => {
        setPointedAt(true);
        keepOnScreen(bubble.current);
      }}
      onFocusIn={() => keepOnScreen(bubble.current)}
      onMouseLeave={() => {
        setPointedAt(false);
        setHidden(false);
      }}
      onKeyDown={(event) => event.key === "Escape" && setHidden(true)}
      onFocusOut={() => setHidden(false)}
    >
      <button type="button" class="term-word label" aria-describedby={id}>
        {children}
      </button>
      <span ref={bubble} role="tooltip" id={id} class="term-means">
        {means}
      </span>
    </span>
  );
}

/** Move what would leave the screen at its right. */
function keepOnScreen(bubble: HTMLElement | null): void {
  if (!bubble) return;
  bubble.style.translate = "";
  const over = bubble.getBoundingClientRect().right - (document.documentElement.clientWidth - MARGIN);
  if (over > 0) bubble.style.translate = `${-over}px`;
}
