/** Files that are dropped on the window, or pasted: on every view, as anywhere else they would be opened. */

import { signal } from "@preact/signals";

/** Whether files hang over the window. */
export const isOver = signal(false);

/** Hand on what is dropped or pasted, until the returned function is called. */
export function watchDrops(onFiles: (files: File[]) => void): () => void {
  const ending = new AbortController();
  const { signal } = ending;
  let depth = 0; // enter and leave come for every element on the way
  const move = (by: number) => (event: DragEvent) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    depth = Math.max(0, depth + by);
    isOver.value = depth > 0;
  };
  const drop = (event: DragEvent) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    depth = 0;
    isOver.value = false;
    onFiles([...event.dataTransfer.files]);
  };
  addEventListener("dragenter", move(1), { signal });
  addEventListener("dragleave", move(-1), { signal });
  addEventListener("dragover", move(0), { signal });
  addEventListener("drop", drop, { signal });
  addEventListener("paste", ({ clipboardData }) => onFiles([...(clipboardData?.files ?? [])]), { signal });
  return () => ending.abort();
}
