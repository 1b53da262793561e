import type { ComponentChildren } from "preact";
import { useEffect, useRef } from "preact/hooks";

const ID = "view";
let isFirst = true;

/** Go to the heading: where what had the focus is gone, or is to be skipped. */
export function toHeading(): void {
  requestAnimationFrame(() => document.getElementById(ID)?.focus());
}

/**
 * The heading of a view. It takes the focus when its view was gone to, so that a screen reader begins
 * there; not when the page is opened.
 */
export function Heading({ children, ...rest }: { class?: string; children: ComponentChildren }) {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    if (!isFirst) heading.current?.focus({ preventScroll: true });
    isFirst = false;
  }, []);
  return (
    <h1 id={ID} ref={heading} tabIndex={-1} {...rest}>
      {children}
    </h1>
  );
}
