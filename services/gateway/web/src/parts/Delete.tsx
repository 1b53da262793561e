import { useSignal } from "@preact/signals";

import { Confirm } from "./Confirm";
import { Icon } from "./Icon";

interface DeleteProps {
  /** What the report is called. */
  name: string;
  onDelete: () => void;
  /** In a list, where the name stands beside it. */
  isSmall?: boolean;
}

/** A button that deletes a report, once that was meant. */
export function Delete({ name, onDelete, isSmall = false }: DeleteProps) {
  const isAsking = useSignal(false);
  const answer = (isMeant: boolean) => {
    isAsking.value = false;
    if (isMeant) onDelete();
  };
  return (
    <>
      <button
        type="button"
        class="button quiet danger"
        onClick={() => (isAsking.value = true)}
        {...(isSmall ? { "aria-label": `Delete ${name}` } : {})}
      >
        <Icon name="bin" />
        {!isSmall && "Delete"}
      </button>
      {isAsking.value && (
        <Confirm question="Delete this report?" yes="Delete it" onYes={() => answer(true)} onNo={() => answer(false)}>
          {name}: its numbers and its transcript are then gone for everybody.
        </Confirm>
      )}
    </>
  );
}
