// @ts-check
// What can be kept as files.
import { html } from "../../lib/html.js";
import { SERVICE_URL } from "../../lib/client.js";
import { lyricsOf } from "../../lib/format.js";
import { outputOf } from "../../lib/outputs.js";
import { levelOf, songView } from "../../lib/song_view.js";
import { Icon } from "../../components/icon.js";

const FORMATS = [["mp3", "MP3"], ["wav", "WAV"], ["flac", "FLAC"], ["ogg", "OGG"]];

/** @param {{job: import("../../../types").Job}} props */
export function Downloads({ job }) {
  const { sample } = songView(job.id);
  const level = levelOf(job);
  if (!level || !outputOf(job, sample.value, level)) return null;
  const href = (/** @type {string} */ path) => new URL(path, SERVICE_URL).href;
  const sound = `${job.urls.audio}?sample=${sample.value}&level=${level}`;
  return html`<section class="panel" aria-labelledby="downloads-heading"><h2 id="downloads-heading">Downloads</h2>
    <ul class="downloads">
      ${FORMATS.map(([format, name], place) => html`<li key=${format}><a class=${`button${place === 0 ? "" : " quiet"}`}
        href=${href(`${sound}&format=${format}`)} download aria-label=${`Download ${name}`}>
        ${place === 0 ? html`<${Icon} name="download" />Download ${name}` : name}</a></li>`)}
      <li><a class="button quiet" href=${href(job.urls.codes)} download>Codes</a></li>
      ${lyricsOf(job).trim() ? html`<li><a class="button quiet" download
        href=${href(`${job.urls.alignment}?sample=${sample.value}&format=lrc`)}>Timed lyrics</a></li>` : null}
      <li><a class="button quiet" href=${href(job.urls.archive)} download>Everything (ZIP)</a></li>
    </ul></section>`;
}
