// @ts-check
// The takes of a song, side by side.
import { html, useId } from "../../lib/html.js";
import { bestOutput, takesOf } from "../../lib/outputs.js";
import { usePeaks } from "../../lib/peaks.js";
import { isHeard, pause, play, positionSec, track } from "../../lib/player.js";
import { chooseTake, levelOf, songView } from "../../lib/song_view.js";
import { Icon } from "../../components/icon.js";
import { MiniWave } from "../../components/mini_wave.js";

const POINTS = 64;

/** @param {{job: import("../../../types").Job}} props */
export function Takes({ job }) {
  const name = useId();
  if (job.outputs.length === 0) return null;
  return html`<div class="takes" role="radiogroup" aria-label="Takes">
    ${takesOf(job).map((sample) => html`<${Take} key=${sample} job=${job} sample=${sample} name=${name} />`)}
  </div>`;
}

/** @param {{job: import("../../../types").Job, sample: number, name: string}} props */
function Take({ job, sample, name }) {
  const view = songView(job.id);
  const peaks = usePeaks(job, sample, levelOf(job), POINTS);
  const isPlayed = isHeard(job, sample);
  const isLoaded = track.value?.jobId === job.id && track.value.sample === sample;
  const done = isLoaded ? positionSec.value / job.duration_seconds : 0;
  const press = () => {
    if (isPlayed) {
      pause();
      return;
    }
    chooseTake(job, sample);
    play(job, { sample, level: view.level.value });
  };
  if (!bestOutput(job, sample)) return null;
  return html`<div class=${`take${view.sample.value === sample ? " is-chosen" : ""}`}>
    <button type="button" class="play-button" aria-label=${isPlayed ? "Pause" : `Play take ${sample + 1}`} onClick=${press}>
      <${Icon} name=${isPlayed ? "pause" : "play"} isFilled=${!isPlayed} /></button>
    <label class="take-choice">
      <input type="radio" name=${name} checked=${view.sample.value === sample} aria-label=${`Choose take ${sample + 1}`}
        onChange=${() => chooseTake(job, sample)} />
      <span class="take-name" aria-hidden="true">Take ${sample + 1}</span>
      <${MiniWave} peaks=${peaks} done=${done} />
    </label>
  </div>`;
}
