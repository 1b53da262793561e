import { isKeyWanted, keepKey } from "../api/client";

/** Shown once the gateway has asked for a key: it stays in this tab. */
export function KeyBar() {
  if (!isKeyWanted.value) return null;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const given = new FormData(event.currentTarget as HTMLFormElement).get("key");
    if (typeof given === "string" && given.trim()) keepKey(given.trim());
  };
  return (
    <form class="key-bar" onSubmit={submit} aria-label="API key">
      <label for="api-key">This gateway asks for an API key. It is forgotten when you close the tab.</label>
      <div class="row">
        <input id="api-key" name="key" type="password" autocomplete="off" required class="field" />
        <button type="submit" class="button primary">
          Use this key
        </button>
      </div>
    </form>
  );
}
