// @ts-check
// Edits of the codes of a song: a section that is sung again, cuts, pieces of other songs, stereo.
import { html } from "../../lib/html.js";
import { bestOutput, isActive, outputOf, takesOf } from "../../lib/outputs.js";
import { stereoBody } from "../../lib/edits.js";
import { maySubmit } from "../../lib/session.js";
import { songView } from "../../lib/song_view.js";
import { Icon } from "../../components/icon.js";
import { Cuts } from "./edit/cuts.js";
import { Insert } from "./edit/insert.js";
import { Redo } from "./edit/redo.js";
import { SectionFields } from "./edit/section_fields.js";
import { useMake } from "./make.js";

/** @param {{job: import("../../../types").Job}} props */
export function EditTools({ job }) {
  const view = songView(job.id);
  const { make, error } = useMake(() => { view.isSelecting.value = false; });
  const sample = view.sample.value;
  if (!maySubmit() || isActive(job) || !bestOutput(job, sample)) return null;
  const mayBeStereo = job.input.channels !== 2 && outputOf(job, sample, "top");
  return html`<section class="panel edit" aria-labelledby="edit-heading"><h2 id="edit-heading">Edit</h2>
    <p class="hint">${takesOf(job).length > 1 ? `Take ${sample + 1}. ` : ""}Every edit makes a new version. This one stays as it is.</p>
    <${SectionFields} job=${job} />
    <${Redo} job=${job} make=${make} />
    <${Cuts} job=${job} make=${make} />
    <div class="edit-group">
      <${Insert} job=${job} make=${make} />
      ${mayBeStereo ? html`<button type="button" onClick=${() => make(stereoBody(job, sample))}>
        <${Icon} name="wave" />Make it stereo</button>` : null}
    </div>
    ${error ? html`<p class="error" role="alert">${error}</p>` : null}
  </section>`;
}
