// @ts-check
// The section, sung again: what is before and behind it stays.
import { html, useState } from "../../../lib/html.js";
import { redoBody } from "../../../lib/edits.js";
import { songView } from "../../../lib/song_view.js";
import { Field, NumberField } from "../../../components/controls.js";
import { Icon } from "../../../components/icon.js";
import { beginSection } from "./section_fields.js";

const MAX_TAKES = 16;

/** @param {{job: import("../../../../types").Job, make: import("../edit_tools.js").Make}} props */
export function Redo({ job, make }) {
  const [takes, setTakes] = useState(/** @type {number | ""} */ (1));
  const [lyrics, setLyrics] = useState("");
  const view = songView(job.id);
  const section = view.section.value;
  const redo = () => {
    if (!section) beginSection(job);
    else return make(redoBody(job, view.sample.value, section, Number(takes), lyrics));
    return undefined;
  };
  return html`<div class="edit-group">
    ${section ? html`<details><summary>Other words there</summary>
      <${Field} label="Lyrics of the section" hint="Empty: the song keeps its own.">
        ${(/** @type {any} */ { id, describedBy }) => html`<textarea id=${id} rows="3" dir="auto" maxlength="20000"
          aria-describedby=${describedBy} value=${lyrics}
          onInput=${(/** @type {any} */ event) => setLyrics(event.currentTarget.value)}></textarea>`}
      <//></details>
      <${NumberField} label="New takes" min=${1} max=${MAX_TAKES} value=${takes} onValue=${setTakes} />` : null}
    <button type="button" id="redo-button" class=${section ? "primary" : ""} disabled=${section !== null && !takes} onClick=${redo}>
      <${Icon} name="retry" />Redo section</button>
  </div>`;
}
