import { useSignal } from "@preact/signals";

import { Icon } from "./Icon";

const SAID_FOR_MS = 2000;

/** A button that copies a text, and says so. `what` is for its name: "Copy the link". */
export function Copy({ text, what, wide = false }: { text: string; what: string; wide?: boolean }) {
  const isCopied = useSignal(false);
  const copy = async () => {
    await put(text);
    isCopied.value = true;
    setTimeout(() => {
      isCopied.value = false;
    }, SAID_FOR_MS);
  };
  return (
    <button type="button" class="button quiet" onClick={() => void copy()} aria-label={`Copy ${what}`}>
      <Icon name={isCopied.value ? "done" : "copy"} />
      <span aria-live="polite">{isCopied.value ? "Copied" : wide ? `Copy ${what}` : "Copy"}</span>
    </button>
  );
}

/** Over plain http there is no clipboard: then by way of a selection. */
async function put(text: string): Promise<void> {
  if (window.isSecureContext) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "sr-only";
  document.body.append(field);
  field.select();
  document.execCommand("copy");
  field.remove();
}
