import type { ReportViewProps } from "../report";
import { late } from "./late";

/** The report's view: its charts are not needed to begin an upload. */
export const LateReport = late<ReportViewProps>(
  () => import("../report").then(({ ReportView }) => ReportView),
  "Drawing the report …",
);
