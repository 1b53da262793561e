import { useSignal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";

import { Icon } from "../parts/Icon";
import { Lights } from "./Lights";

/** The place where files come in: the whole window takes a drop, the button opens a dialog. */
export function DropZone({ onFiles, isSmall }: { onFiles: (files: File[]) => void; isSmall: boolean }) {
  const input = useRef<HTMLInputElement>(null);
  const isOver = useWindowDrop(onFiles);
  const chosen = (event: Event & { currentTarget: HTMLInputElement }) => {
    onFiles([...(event.currentTarget.files ?? [])]);
    event.currentTarget.value = ""; // the same file may be chosen again
  };
  return (
    <div class={`drop${isSmall ? " small" : ""}${isOver ? " over" : ""}`}>
      {!isSmall && <Lights />}
      <div class="drop-words">
        <p class="drop-title">{isOver ? "Let go" : isSmall ? "Drop more audio anywhere" : "Drop audio anywhere"}</p>
        {!isSmall && <p class="muted">WAV, FLAC, MP3, AAC, Ogg, Opus or a video’s sound; 100 MB and six minutes each.</p>}
      </div>
      <button type="button" class={`button${isSmall ? "" : " primary"}`} onClick={() => input.current?.click()}>
        <Icon name="upload" />
        Choose files
      </button>
      <input
        ref={input}
        class="sr-only"
        type="file"
        accept="audio/*,video/*"
        multiple
        aria-label="Audio files"
        tabIndex={-1}
        onChange={chosen}
      />
    </div>
  );
}

/** Take what is dropped on any part of the window, or pasted; tells whether something hangs over it. */
function useWindowDrop(onFiles: (files: File[]) => void): boolean {
  const isOver = useSignal(false);
  useEffect(() => {
    let depth = 0; // enter and leave come for every element on the way
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    const move = (by: number) => (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      depth = Math.max(0, depth + by);
      isOver.value = depth > 0;
    };
    const drop = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      depth = 0;
      isOver.value = false;
      onFiles([...(event.dataTransfer?.files ?? [])]);
    };
    const ending = new AbortController();
    const { signal } = ending;
    addEventListener("dragenter", move(1), { signal });
    addEventListener("dragleave", move(-1), { signal });
    addEventListener("dragover", move(0), { signal });
    addEventListener("drop", drop, { signal });
    addEventListener("paste", ({ clipboardData }) => onFiles([...(clipboardData?.files ?? [])]), { signal });
    return () => ending.abort();
  }, [onFiles]);
  return isOver.value;
}
