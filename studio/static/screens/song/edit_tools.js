// @ts-check
// Edits of the codes of a song: sections, splices, stereo.
import { html } from "../../lib/html.js";

/** @param {{job: import("../../../types").Job}} _props */
export function EditTools(_props) {
  return html``;
}
