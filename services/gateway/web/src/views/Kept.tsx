import { open, remove } from "../api/library";
import { when } from "../format";
import { Delete } from "../parts/Delete";
import { Heading } from "../parts/Heading";
import { LateReport } from "../parts/Report";
import { Trouble } from "../parts/Trouble";
import { useAnswer } from "../parts/useAnswer";
import { useTitle } from "../parts/useTitle";
import { go } from "../router";

/** A report of the library. */
export function Kept({ id }: { id: string }) {
  const { value: report, refusal } = useAnswer((signal) => open(id, signal), id).value;
  const name = report ? (report.filename ?? "Without a name") : refusal ? "This report is not here" : "Report";
  useTitle(name);
  const drop = async () => {
    await remove(id);
    go("#/library");
  };
  return (
    <>
      <header class="report-head">
        <div>
          <p class="label">
            <a href="#/library">Library</a>
          </p>
          <Heading>{name}</Heading>
          {report && (
            <p class="muted">
              Kept since <time dateTime={report.created_at}>{when(report.created_at)}</time>, until it is deleted.
            </p>
          )}
        </div>
        {report && <Delete name={name} onDelete={() => void drop()} />}
      </header>
      {refusal && <Trouble refusal={refusal} />}
      {report && <LateReport report={report} path={`/transcripts/${id}`} />}
    </>
  );
}
