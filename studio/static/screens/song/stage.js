// @ts-check
// The chosen take, large: its waveform or spectrogram, and the levels to switch between.
import { html, useState } from "../../lib/html.js";
import { SERVICE_URL } from "../../lib/client.js";
import { reloads } from "../../lib/events.js";
import { LEVELS, QUALITY, outputOf } from "../../lib/outputs.js";
import { usePeaks } from "../../lib/peaks.js";
import { isHeard, play, positionSec, seek, track } from "../../lib/player.js";
import { chooseLevel, levelOf, songView } from "../../lib/song_view.js";
import { RadioGroup } from "../../components/controls.js";
import { Waveform } from "../../components/waveform.js";

const POINTS = 1200;

/** @param {{job: import("../../../types").Job}} props */
export function Stage({ job }) {
  const view = songView(job.id);
  const sample = view.sample.value;
  const level = levelOf(job);
  const [picture, setPicture] = useState("wave");
  const isLoaded = track.value?.jobId === job.id;
  const goTo = (/** @type {number} */ seconds) => {
    if (isLoaded) seek(seconds);
    else play(job, { sample, level: view.level.value, atSec: seconds });
  };
  return html`<section class="stage" aria-label="Sound">
    <div class="stage-tools">
      <${RadioGroup} label="Quality" value=${level ?? ""} onValue=${(/** @type {string} */ value) => chooseLevel(job, value)}
        options=${LEVELS.map((value) => ({
          value, label: QUALITY[value], isDisabled: !outputOf(job, sample, value),
        }))} />
      <${RadioGroup} label="Picture" isLabelHidden value=${picture} onValue=${setPicture}
        options=${[{ value: "wave", label: "Waveform" }, { value: "spectrogram", label: "Spectrogram" }]} />
    </div>
    ${picture === "wave" ? html`<${Wave} job=${job} sample=${sample} level=${level} isLoaded=${isLoaded} goTo=${goTo} />`
      : html`<${Spectrogram} job=${job} sample=${sample} level=${level} isLoaded=${isLoaded} goTo=${goTo} />`}
  </section>`;
}

/** @typedef {{job: import("../../../types").Job, sample: number, level: string | null, isLoaded: boolean, goTo: (seconds: number) => void}} PictureProps */

/** @param {PictureProps} props */
function Wave({ job, sample, level, isLoaded, goTo }) {
  const view = songView(job.id);
  const peaks = usePeaks(job, sample, level, POINTS);
  if (peaks.length === 0) return html`<div class="waveform waveform-none" aria-hidden="true"></div>`;
  return html`<${Waveform} peaks=${peaks} durationSec=${job.duration_seconds} hasTimeline
    positionSec=${isLoaded ? positionSec.value : 0} onSeek=${goTo}
    canSelect=${view.isSelecting.value} part=${view.section.value}
    onPart=${(/** @type {import("../../lib/song_view.js").Section} */ part) => { view.section.value = part; }} />`;
}

/** @param {PictureProps} props */
function Spectrogram({ job, sample, level, isLoaded, goTo }) {
  const src = new URL(`${job.urls.spectrogram}?sample=${sample}&level=${level}&width=1200&height=320`, SERVICE_URL).href;
  const done = isLoaded ? positionSec.value / job.duration_seconds : 0;
  const click = (/** @type {MouseEvent} */ event) => {
    const box = /** @type {HTMLElement} */ (event.currentTarget).getBoundingClientRect();
    goTo(((event.clientX - box.left) / box.width) * job.duration_seconds);
  };
  return html`<div class="spectrogram" onClick=${click}>
    <img key=${reloads.value} src=${src} alt="Spectrogram: time from left to right, pitch from bottom to top" />
    <div class="spectrogram-cursor" style=${{ left: `${done * 100}%` }}></div>
  </div>`;
}
