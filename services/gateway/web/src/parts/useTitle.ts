import { useEffect } from "preact/hooks";

/** Name the tab after what is shown in it. */
export function useTitle(name: string): void {
  useEffect(() => {
    document.title = `${name} · decibus`;
  }, [name]);
}
