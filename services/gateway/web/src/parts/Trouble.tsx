import type { ComponentChildren } from "preact";

import { advice, sentence } from "../api/advice";
import type { Refusal } from "../api/client";
import { Icon } from "./Icon";

/** A refusal in words: what is wrong, and what to do. Children are buttons. */
export function Trouble({ refusal, children }: { refusal: Refusal; children?: ComponentChildren }) {
  return (
    <div class="trouble" role="alert">
      <Icon name="warn" />
      <div>
        <p>{sentence(refusal.message)}</p>
        <p class="muted">{advice(refusal.code, refusal.retryAfterS)}</p>
        {children && <div class="row">{children}</div>}
      </div>
    </div>
  );
}
