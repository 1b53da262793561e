import { type Signal, useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import { apiKey, Refusal } from "../api/client";

export interface Answer<T> {
  /** What was answered last; it stays while it is asked again. */
  value: T | null;
  refusal: Refusal | null;
}

/**
 * Ask when the view is shown, when `about` changes, when a key was entered, and every `everyS`
 * seconds while the tab is looked at.
 */
export function useAnswer<T>(
  question: (signal: AbortSignal) => Promise<T>,
  about: string,
  everyS?: number,
): Signal<Answer<T>> {
  const answer = useSignal<Answer<T>>({ value: null, refusal: null });
  const key = apiKey.value;
  useEffect(() => {
    const ending = new AbortController();
    const put = async () => {
      try {
        answer.value = { value: await question(ending.signal), refusal: null };
      } catch (error) {
        if (ending.signal.aborted) return;
        if (!(error instanceof Refusal)) throw error;
        answer.value = { value: answer.peek().value, refusal: error };
      }
    };
    void put();
    const timer = everyS && setInterval(() => document.hidden || void put(), everyS * 1000);
    return () => {
      ending.abort();
      clearInterval(timer);
    };
  }, [about, key, everyS]);
  return answer;
}
