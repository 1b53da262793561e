import { signal } from "@preact/signals";
import type { ComponentType } from "preact";
import { useEffect } from "preact/hooks";

/**
 * Return a component whose code is loaded when it is first shown, or when `prepare` is called.
 *
 * Until then `words` stand in its place.
 */
export function late<P extends object>(load: () => Promise<ComponentType<P>>, words: string) {
  const loaded = signal<ComponentType<P> | null>(null);
  let loading: Promise<void> | undefined;
  const prepare = () => {
    loading ??= load().then(
      (component) => {
        loaded.value = component;
      },
      () => {
        loading = undefined; // the network: the next time it is shown
      },
    );
  };
  function Late(props: P) {
    useEffect(prepare, []);
    const Loaded = loaded.value;
    return Loaded ? <Loaded {...props} /> : <p class="muted">{words}</p>;
  }
  return Object.assign(Late, { prepare });
}
