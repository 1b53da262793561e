import { useSignal } from "@preact/signals";

import { open, remove } from "../api/library";
import { Confirm } from "../parts/Confirm";
import { Heading } from "../parts/Heading";
import { Icon } from "../parts/Icon";
import { LateReport } from "../parts/Report";
import { Trouble } from "../parts/Trouble";
import { useAnswer } from "../parts/useAnswer";
import { go } from "../router";

/** A report of the library. */
export function Kept({ id }: { id: string }) {
  const { value: report, refusal } = useAnswer((signal) => open(id, signal), id).value;
  const isAsking = useSignal(false);
  const name = report ? (report.filename ?? "Without a name") : refusal ? "This report is not here" : "Report";
  const drop = async () => {
    isAsking.value = false;
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
          <Heading>
            {name}
          </Heading>
          {report && (
            <p class="muted">
              kept since <time dateTime={report.created_at}>{new Date(report.created_at).toLocaleString()}</time>, until it
              is deleted
            </p>
          )}
        </div>
        {report && (
          <button type="button" class="button quiet danger" onClick={() => (isAsking.value = true)}>
            <Icon name="bin" />
            Delete
          </button>
        )}
      </header>
      {refusal && <Trouble refusal={refusal} />}
      {report && <LateReport report={report} />}
      {isAsking.value && (
        <Confirm question="Delete this report?" yes="Delete it" onYes={() => void drop()} onNo={() => (isAsking.value = false)}>
          {name}: its numbers and its transcript are then gone for everybody.
        </Confirm>
      )}
    </>
  );
}
