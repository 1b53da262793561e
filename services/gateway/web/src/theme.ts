/** Light, dark, or as the system is: kept in this browser, in no cookie. */

import { effect, signal } from "@preact/signals";

export const THEMES = ["system", "light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

const KEPT_AS = "decibus-theme";

export const theme = signal<Theme>(kept());

effect(() => {
  const root = document.documentElement;
  if (theme.value === "system") delete root.dataset.theme;
  else root.dataset.theme = theme.value;
});

export function choose(next: Theme): void {
  theme.value = next;
  if (next === "system") localStorage.removeItem(KEPT_AS);
  else localStorage.setItem(KEPT_AS, next);
}

function kept(): Theme {
  const name = localStorage.getItem(KEPT_AS);
  return THEMES.find((each) => each === name) ?? "system";
}
