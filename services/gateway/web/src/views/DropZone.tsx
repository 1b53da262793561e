import { useRef } from "preact/hooks";

import { isOver } from "../drops";
import { Icon } from "../parts/Icon";
import { Lights } from "./Lights";

/** The place where files come in: the whole window takes a drop, the button opens a dialog. */
export function DropZone({ onFiles, isSmall }: { onFiles: (files: File[]) => void; isSmall: boolean }) {
  const input = useRef<HTMLInputElement>(null);
  const chosen = (event: Event & { currentTarget: HTMLInputElement }) => {
    onFiles([...(event.currentTarget.files ?? [])]);
    event.currentTarget.value = ""; // the same file may be chosen again
  };
  return (
    <div class={`drop${isSmall ? " small" : ""}${isOver.value ? " over" : ""}`}>
      {!isSmall && <Lights />}
      <div class="drop-words">
        <p class="drop-title">
          {isOver.value ? "Let go" : isSmall ? "Drop more audio anywhere" : "Drop audio anywhere"}
        </p>
        {!isSmall && (
          <p class="muted">WAV, FLAC, MP3, AAC, Ogg, Opus or a video’s sound; 100 MB and six minutes each.</p>
        )}
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
