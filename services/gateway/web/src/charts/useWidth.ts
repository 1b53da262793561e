import { useLayoutEffect, useState } from "preact/hooks";
import type { RefObject } from "preact";

/** Tell how wide an element is, in CSS pixels, and every change of it. */
export function useWidth(element: RefObject<HTMLElement>, until = 640): number {
  const [width, setWidth] = useState(until);
  useLayoutEffect(() => {
    const observed = element.current;
    if (!observed) return;
    const measure = () => setWidth(Math.max(200, Math.floor(observed.clientWidth)));
    const observer = new ResizeObserver(measure);
    measure();
    observer.observe(observed);
    return () => observer.disconnect();
  }, [element]);
  return width;
}
