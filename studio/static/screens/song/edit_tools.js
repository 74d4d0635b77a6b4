// @ts-check
// Edits of the codes of a song: a section that is sung again, cuts, pieces of other songs, stereo.
import { html, useState } from "../../lib/html.js";
import { Problem } from "../../lib/client.js";
import { createJob } from "../../lib/jobs.js";
import { bestOutput, isActive, outputOf, takesOf } from "../../lib/outputs.js";
import { stereoBody } from "../../lib/edits.js";
import { go, hrefOf } from "../../lib/router.js";
import { maySubmit } from "../../lib/session.js";
import { songView } from "../../lib/song_view.js";
import { Icon } from "../../components/icon.js";
import { Cuts } from "./edit/cuts.js";
import { Insert } from "./edit/insert.js";
import { Redo } from "./edit/redo.js";
import { SectionFields } from "./edit/section_fields.js";

/** @typedef {(body: object) => Promise<void>} Make what makes a version and goes to it */

/** @param {{job: import("../../../types").Job}} props */
export function EditTools({ job }) {
  const [error, setError] = useState("");
  const view = songView(job.id);
  const sample = view.sample.value;
  if (!maySubmit() || isActive(job) || !bestOutput(job, sample)) return null;
  /** @type {Make} */
  const make = async (body) => {
    setError("");
    try {
      const made = await createJob(body);
      view.isSelecting.value = false;
      go(hrefOf("songs", made.id));
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      setError(problem.words);
    }
  };
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
