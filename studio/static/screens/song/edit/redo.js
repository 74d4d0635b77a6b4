// @ts-check
// The section, sung again: what is before and behind it stays.
import { html, useState } from "../../../lib/html.js";
import { redoBody } from "../../../lib/edits.js";
import { MAX_TAKES, mistakeInTakes } from "../../../lib/new_song.js";
import { songView } from "../../../lib/song_view.js";
import { Field, NumberField, goToMistake } from "../../../components/controls.js";
import { Icon } from "../../../components/icon.js";
import { beginSection } from "./section_fields.js";

/** @param {{job: import("../../../../types").Job, make: import("../make.js").Make}} props */
export function Redo({ job, make }) {
  const [takes, setTakes] = useState(/** @type {number | ""} */ (1));
  const view = songView(job.id);
  const section = view.section.value;
  const [isOpen] = useState(view.lyrics.value !== "");
  const takesMistake = mistakeInTakes(takes);
  const lyrics = view.lyrics.value;
  const redo = () => {
    if (!section) beginSection(job);
    else if (!goToMistake(".section-fields") && !goToMistake(".edit-redo")) return make(redoBody(job, view.sample.value, section, Number(takes), lyrics));
    return undefined;
  };
  return html`<div class="edit-group edit-redo">
    ${section ? html`<details open=${isOpen}><summary>Other words there</summary>
      <${Field} label="Lyrics of the section" hint="Empty: the song keeps its own.">
        ${(/** @type {any} */ { id, describedBy }) => html`<textarea id=${id} rows="3" dir="auto" maxlength="20000"
          aria-describedby=${describedBy} value=${lyrics}
          onInput=${(/** @type {any} */ event) => { view.lyrics.value = event.currentTarget.value; }}></textarea>`}
      <//></details>
      <${NumberField} label="New takes" min=${1} max=${MAX_TAKES} value=${takes}
        error=${takesMistake} onValue=${setTakes} />` : null}
    <button type="button" id="redo-button" class=${section ? "primary" : ""} onClick=${redo}>
      <${Icon} name="retry" />Redo section</button>
  </div>`;
}
