// @ts-check
// The list of keys, as a dialog.
import { html, useLayoutEffect, useRef } from "../lib/html.js";
import { isHelpOpen, KEYS } from "../lib/keys.js";

/** Opened by `?` and by a button in the settings. */
export function KeyHelp() {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const isOpen = isHelpOpen.value;
  useLayoutEffect(() => {
    if (isOpen) dialog.current?.showModal();
    else dialog.current?.close();
  }, [isOpen]);
  return html`<dialog class="dialog" ref=${dialog} aria-labelledby="keys"
    onClose=${() => { isHelpOpen.value = false; }}>
    <h2 id="keys">Keys</h2>
    <dl class="keys">${KEYS.map(([key, text]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${text}</dd></div>`)}</dl>
    <form method="dialog"><button class="primary">Close</button></form>
  </dialog>`;
}
