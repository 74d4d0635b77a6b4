// @ts-check
// What is heard now, at the bottom of every screen.
import { html, useEffect, useRef } from "../lib/html.js";
import { bylineOf, clock, counted, titleOf } from "../lib/format.js";
import {
  audio, isPlaying, isWaiting, lengthSec, playerError, positionSec, seek, setVolume, toggle, track,
  trackJob, volume,
} from "../lib/player.js";
import { QUALITY } from "../lib/outputs.js";
import { hrefOf } from "../lib/router.js";
import { Cover } from "./cover.js";
import { Icon } from "./icon.js";

/** The bar. Without a sound there is none. */
export function PlayerBar() {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    place.current?.append(audio);
  }, []);
  const job = trackJob.value;
  const held = track.value;
  return html`<section class="player" aria-label="Player" hidden=${!job || !held}>
    <span ref=${place} hidden></span>
    ${job && held ? html`
      <a class="player-song" href=${hrefOf("songs", job.id)}>
        <${Cover} id=${job.root_id} />
        <span class="player-names"><bdi class="player-title">${titleOf(job)}</bdi>
          <span class="player-byline">${detailsOf(job, held)}</span></span>
      </a>
      <button type="button" class="play-button" aria-label="Playback"
        aria-pressed=${String(isPlaying.value)} onClick=${toggle} title="Play or pause (Space)">
        <${Icon} name=${isPlaying.value ? "pause" : "play"} isFilled=${!isPlaying.value} />
      </button>
      <${Position} />
      <${Volume} />` : null}
  </section>`;
}

/** @param {import("../../types").Job} job @param {import("../lib/player.js").Track} held */
function detailsOf(job, held) {
  if (playerError.value) return playerError.value;
  const parts = [];
  if (held.isLive) parts.push(isWaiting.value ? "waiting for more" : "as it is sung");
  if (job.input.num_samples > 1) parts.push(`take ${held.sample + 1}`);
  if (held.level) parts.push(QUALITY[held.level]);
  return parts.join(", ") || bylineOf(job);
}

function Position() {
  const length = lengthSec.value || 0;
  const position = Math.min(positionSec.value, length);
  const move = (/** @type {Event} */ event) => {
    seek(Number(/** @type {HTMLInputElement} */ (event.currentTarget).value));
  };
  const done = length > 0 ? position / length : 0;
  return html`<div class="position">
    <span class="time">${clock(position)}</span>
    <input type="range" aria-label="Position" min="0" max=${length.toFixed(2)} step="0.01"
      value=${position.toFixed(2)} aria-valuenow=${position.toFixed(2)} onInput=${move}
      aria-valuetext=${`${counted(Math.floor(position), "second")} of ${Math.round(length)}`}
      style=${{ "--done": `${(done * 100).toFixed(2)}%` }} />
    <span class="time">${clock(length)}</span>
  </div>`;
}

function Volume() {
  const change = (/** @type {Event} */ event) => {
    setVolume(Number(/** @type {HTMLInputElement} */ (event.currentTarget).value));
  };
  return html`<div class="volume">
    <${Icon} name="volume" />
    <input type="range" aria-label="Volume" min="0" max="1" step="0.05" value=${volume.value}
      onInput=${change} style=${{ "--done": `${volume.value * 100}%` }} />
  </div>`;
}
