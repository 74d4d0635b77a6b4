// @ts-check
// Asks for an API key. It is sent once, in a header, and kept nowhere.
import { html, useState } from "../lib/html.js";
import { signIn } from "../lib/session.js";
import { Field } from "./controls.js";
import { Logo } from "./icon.js";

/** The form. */
export function SignIn() {
  const [key, setKey] = useState("");
  const [error, setError] = useState("");
  const submit = async (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    if (!key.trim()) {
      setError("Enter your key.");
      return;
    }
    try {
      await signIn(key);
      setKey("");
    } catch (problem) {
      setError(/** @type {Error} */ (problem).message);
    }
  };
  return html`<main class="sign-in" id="main">
    <form aria-labelledby="sign-in" onSubmit=${submit} autocomplete="off">
      <${Logo} />
      <h1 id="sign-in">Sign in with a key</h1>
      <p>This service is shared. Your API key says which songs are yours; the operator makes keys with
        <code> jukebox keys create</code>.</p>
      <${Field} label="API key" error=${error}>
        ${(/** @type {any} */ { id, describedBy, isInvalid }) => html`<input id=${id} type="password"
          autocomplete="off" spellcheck=${false} value=${key} required aria-describedby=${describedBy}
          aria-invalid=${isInvalid ? "true" : undefined}
          onInput=${(/** @type {any} */ event) => setKey(event.currentTarget.value)} />`}
      <//>
      <button type="submit" class="primary">Sign in</button>
    </form>
  </main>`;
}
