import { signal } from "@preact/signals";
import { useEffect } from "preact/hooks";

import type { ReportViewProps } from "../report";

type View = typeof import("../report").ReportView;

const loaded = signal<View | null>(null);

/** Load the report's view: its charts are not needed to begin an upload. */
export function prepareReport(): void {
  if (loaded.value) return;
  void import("../report").then(({ ReportView }) => {
    loaded.value = ReportView;
  });
}

/** The report's view, as soon as its part of the page is there. */
export function LateReport(props: ReportViewProps) {
  useEffect(prepareReport, []);
  const View = loaded.value;
  return View ? <View {...props} /> : <p class="muted">Drawing the report …</p>;
}
