import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

interface ConfirmProps {
  question: string;
  children: ComponentChildren;
  yes: string;
  onYes: () => void;
  onNo: () => void;
}

/** Ask before something is gone; Escape is no, and the focus goes back where it was. */
export function Confirm({ question, children, yes, onYes, onNo }: ConfirmProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  useEffect(() => {
    const before = document.activeElement;
    dialog.current?.showModal();
    return () => {
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog ref={dialog} class="confirm" aria-labelledby={id} onClose={onNo}>
      <h2 id={id}>{question}</h2>
      <p class="muted">{children}</p>
      <div class="row end">
        <button type="button" class="button" onClick={onNo}>
          Keep it
        </button>
        <button type="button" class="button danger" onClick={onYes}>
          {yes}
        </button>
      </div>
    </dialog>
  );
}
