// @ts-check
// Cuts: the song up to where it is heard, and the section kept, removed or repeated.
import { clock } from "../../../lib/format.js";
import { html } from "../../../lib/html.js";
import { cutAt, keepSection, removeSection, repeatSection, spliceBody } from "../../../lib/edits.js";
import { positionSec, track } from "../../../lib/player.js";
import { goToMistake } from "../../../components/controls.js";
import { songView } from "../../../lib/song_view.js";

/** @param {{job: import("../../../../types").Job, make: import("../make.js").Make}} props */
export function Cuts({ job, make }) {
  const view = songView(job.id);
  const sample = view.sample.value;
  const section = view.section.value;
  const splice = (/** @type {import("../../../lib/edits.js").Part[]} */ parts) => make(spliceBody(parts, [job]));
  const at = track.value?.jobId === job.id ? positionSec.value : 0;
  const isInside = at > 0.1 && at < job.duration_seconds - 0.1;
  const spliceSection = (/** @type {import("../../../lib/edits.js").Part[]} */ parts) => goToMistake(".section-fields") || splice(parts);
  const rest = section ? removeSection(job, sample, section) : [];
  return html`<div class="edit-group edit-cuts">
    <button type="button" disabled=${!isInside} onClick=${() => splice(cutAt(job, sample, at))}
      title="Ends the song where it is heard now">Cut here${isInside ? ` (${clock(at)})` : ""}</button>
    ${section ? html`
      <button type="button" onClick=${() => spliceSection(keepSection(job, sample, section))}>Keep only the section</button>
      <button type="button" disabled=${rest.length === 0} onClick=${() => spliceSection(rest)}>Remove the section</button>
      <button type="button" onClick=${() => spliceSection(repeatSection(job, sample, section))}>Repeat the section</button>` : null}
  </div>`;
}
