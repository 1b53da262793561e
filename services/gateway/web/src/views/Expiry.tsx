import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { expiryOf, nextLook } from "../report/expiry";

/** Until when a link works, counted down. */
export function Expiry({ at }: { at: string | null }) {
  const now = useSignal(new Date());
  useEffect(() => {
    if (!at) return;
    const timer = setTimeout(() => (now.value = new Date()), nextLook(new Date(at), now.value));
    return () => clearTimeout(timer);
  }, [at, now.value]);
  return <>{at ? `This link ${expiryOf(new Date(at), now.value)}.` : "Kept in the library until it is deleted."}</>;
}
