import type { ComponentChildren } from "preact";
import { useEffect, useMemo } from "preact/hooks";

import { choices, genreName, learnChoices } from "../api/choices";
import type { Retention } from "../api/types";
import type { Tasks } from "../api/upload";
import { languages, wish, wishes } from "./options";

/** What to do with the files that come next. */
export function Options() {
  useEffect(() => void learnChoices(), []);
  const names = useMemo(languages, []);
  const { tasks, genre, target, language, retention } = wishes.value;
  const { genres, targets } = choices.value;
  const isHeard = tasks !== "loudness";
  const isMeasured = tasks !== "transcribe";
  return (
    <fieldset class="options">
      <legend class="sr-only">What to do with the files</legend>
      <Choice label="Find out" value={tasks} onChange={(value) => wish({ tasks: value as Tasks })}>
        <option value="loudness,transcribe">Levels and words</option>
        <option value="loudness">Levels only</option>
        <option value="transcribe">Words only</option>
      </Choice>
      <Choice label="Genre" value={genre} onChange={(value) => wish({ genre: value })} disabled={!isMeasured}>
        <option value="">No comparison</option>
        {genres.map((name) => (
          <option key={name} value={name}>
            {genreName(name)}
          </option>
        ))}
      </Choice>
      <Choice label="Target" value={target} onChange={(value) => wish({ target: value })} disabled={!isMeasured}>
        <option value="">All of them</option>
        {targets.map((name) => (
          <option key={name}>{name}</option>
        ))}
      </Choice>
      <Choice label="Language" value={language} onChange={(value) => wish({ language: value })} disabled={!isHeard}>
        <option value="">Detect it</option>
        {names.map(([code, name]) => (
          <option key={code} value={code}>
            {name}
          </option>
        ))}
      </Choice>
      <Choice label="Keep the report" value={retention} onChange={(value) => wish({ retention: value as Retention })}>
        <option value="ttl">15 minutes</option>
        <option value="library">In the library</option>
        <option value="once">Until first download</option>
      </Choice>
    </fieldset>
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
  disabled?: boolean;
  children: ComponentChildren;
}

function Choice({ label, value, onChange, disabled = false, children }: ChoiceProps) {
  return (
    <label class="choice">
      <span class="label">{label}</span>
      <select class="field" value={value} disabled={disabled} onChange={(event) => onChange(event.currentTarget.value)}>
        {children}
      </select>
    </label>
  );
}
