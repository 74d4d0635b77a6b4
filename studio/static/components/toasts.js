// @ts-check
// Short messages about something that just happened, sometimes with a way back.
import { html, signal } from "../lib/html.js";
import { Problem } from "../lib/client.js";

const SHOWN_MS = 8000;

/** @typedef {{id: number, text: string, action?: {label: string, run: () => void}}} Toast */
/** @type {{value: Toast[]}} */
const toasts = signal([]);
let nextId = 1;

/**
 * Show a message for some seconds.
 *
 * @param {string} text
 * @param {{label: string, run: () => void}} [action]
 */
export function say(text, action) {
  const id = nextId;
  nextId += 1;
  // Said twice, it is shown once.
  toasts.value = [...toasts.value.filter((toast) => toast.text !== text), { id, text, action }];
  setTimeout(() => dismiss(id), SHOWN_MS);
}

/** Run something that may fail, and say so if it does. @param {() => Promise<unknown>} run */
export async function attempt(run) {
  try {
    await run();
  } catch (error) {
    say(error instanceof Problem ? error.words : /** @type {Error} */ (error).message);
  }
}

/** @param {number} id */
function dismiss(id) {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

/** Where they appear. */
export function Toasts() {
  return html`<div class="toasts" role="status">
    ${toasts.value.map((toast) => html`<div class="toast" key=${toast.id}>
      <span>${toast.text}</span>
      ${toast.action ? html`<button type="button" class="quiet" onClick=${() => {
        toast.action?.run();
        dismiss(toast.id);
      }}>${toast.action.label}</button>` : null}
    </div>`)}
  </div>`;
}
