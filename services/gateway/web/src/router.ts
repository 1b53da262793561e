/** Which view is shown: what stands after `#/`. A token there reaches no server's log. */

import { computed, signal } from "@preact/signals";

export type Route =
  | { view: "measure" }
  | { view: "report"; token: string }
  | { view: "example" }
  | { view: "library" }
  | { view: "kept"; id: string }
  | { view: "api" }
  | { view: "status" }
  | { view: "nowhere" };

const hash = signal(location.hash);
addEventListener("hashchange", () => {
  hash.value = location.hash;
});

export const route = computed(() => routeOf(hash.value));

export function routeOf(fragment: string): Route {
  const [view = "", rest = ""] = fragment.replace(/^#?\/?/, "").split("/", 2);
  switch (view) {
    case "":
      return { view: "measure" };
    case "report":
      return rest ? { view, token: rest } : { view: "nowhere" };
    case "library":
      return rest ? { view: "kept", id: rest } : { view };
    case "example":
    case "api":
    case "status":
      return { view };
    default:
      return { view: "nowhere" };
  }
}

export function go(fragment: string): void {
  location.hash = fragment;
}
