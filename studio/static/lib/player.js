// @ts-check
// The one player of the page: what is heard, and where it is. Screens ask it; nobody else makes sound.
import { computed, signal } from "./html.js";
import { SERVICE_URL } from "./client.js";
import { jobSignal, onJob } from "./jobs.js";
import { openLive } from "./live_stream.js";
import { bestOutput, isActive, outputOf } from "./outputs.js";
import { recall, remember } from "./storage.js";

/** @typedef {import("../../types").Job} Job */

/**
 * @typedef {object} Track
 * @property {string} jobId
 * @property {number} sample
 * @property {string | null} level null: the finest there is
 * @property {string} url what is loaded
 * @property {boolean} isLive whether it is still being made
 */

const FRAME_MS = 60;

/** @type {{value: Track | null}} */
export const track = signal(null);
export const isPlaying = signal(false);
export const isWaiting = signal(false);
export const positionSec = signal(0);
export const lengthSec = signal(0);
export const volume = signal(recall("volume") ?? 1);
export const playerError = signal("");

export const trackJob = computed(() => (track.value ? jobSignal(track.value.jobId).value : null));

/** @type {HTMLAudioElement} */
export const audio = document.createElement("audio");
audio.preload = "auto";
audio.volume = volume.value;

/** A position to go to as soon as the sound has loaded. */
let wantedSec = /** @type {number | null} */ (null);
let frame = 0;
/** Ends the stream of a song that is still sung. */
let closeLive = () => {};

/**
 * Play a take of a job.
 *
 * @param {Job} job
 * @param {object} [options]
 * @param {number} [options.sample]
 * @param {string | null} [options.level]
 * @param {number | null} [options.atSec] null keeps the position within the same job
 */
export function play(job, { sample = 0, level = null, atSec = null } = {}) {
  const source = sourceOf(job, sample, level);
  if (!source) return;
  const isSameJob = track.value?.jobId === job.id;
  const startSec = atSec ?? (isSameJob && !audio.ended ? positionSec.value : 0);
  load(job, { jobId: job.id, sample, level, ...source }, startSec);
  void start();
}

/**
 * Change take or level of what is loaded, where it is and without stopping.
 *
 * @param {Job} job
 * @param {{sample: number, level: string | null}} wanted
 */
export function switchTo(job, { sample, level }) {
  if (track.value?.jobId !== job.id) return;
  const source = sourceOf(job, sample, level);
  if (!source) return;
  const wasPlaying = isPlaying.value;
  load(job, { jobId: job.id, sample, level, ...source }, positionSec.value);
  if (wasPlaying) void start();
}

/**
 * @param {Job} job
 * @param {number} sample
 * @param {string | null} level
 */
function sourceOf(job, sample, level) {
  const output = level ? outputOf(job, sample, level) : bestOutput(job, sample);
  if (output) return { url: output.url, isLive: false };
  return isActive(job) ? { url: `${job.urls.live}?sample=${sample}`, isLive: true } : null;
}

/** @param {Job} job @param {Track} wanted @param {number} startSec */
function load(job, wanted, startSec) {
  playerError.value = "";
  lengthSec.value = job.duration_seconds;
  const isLoaded = track.value?.url === wanted.url && audio.getAttribute("src") !== null && !audio.error;
  track.value = wanted;
  if (isLoaded) {
    if (Math.abs(audio.currentTime - startSec) > 0.05) audio.currentTime = startSec;
  } else {
    wantedSec = startSec;
    audio.src = addressOf(wanted, startSec);
    audio.load();
  }
  positionSec.value = startSec;
}

/** What the audio element loads. @param {Track} wanted @param {number} startSec */
function addressOf(wanted, startSec) {
  closeLive();
  closeLive = () => {};
  // Paths of the API begin with the prefix of a proxy already.
  if (!wanted.isLive) return new URL(wanted.url, SERVICE_URL).href;
  const { src, close } = openLive(wanted.url, startSec, fail);
  closeLive = close;
  return src;
}

async function start() {
  try {
    await audio.play();
  } catch (error) {
    // Another sound was loaded meanwhile, or the browser wants a click first.
    if (error instanceof DOMException && error.name === "AbortError") return;
    isPlaying.value = false;
  }
}

/** Play or pause what is loaded. */
export function toggle() {
  if (!track.value) return;
  if (audio.paused) void start();
  else audio.pause();
}

/** Stop, without forgetting where. */
export function pause() {
  audio.pause();
}

/** @param {number} seconds */
export function seek(seconds) {
  const held = track.value;
  if (!held) return;
  const target = Math.min(Math.max(seconds, 0), Math.max(lengthSec.value - 0.02, 0));
  if (held.isLive && !isBuffered(target)) {
    const job = trackJob.value;
    const source = job && sourceOf(job, held.sample, held.level);
    if (job && source && !source.isLive) {
      const wasPlaying = isPlaying.value;
      load(job, { ...held, ...source }, target);
      if (wasPlaying) void start();
    }
    return;
  }
  positionSec.value = target;
  if (audio.readyState === 0) wantedSec = target;
  else audio.currentTime = target;
}

/** @param {number} seconds */
function isBuffered(seconds) {
  for (let part = 0; part < audio.buffered.length; part += 1) {
    if (seconds >= audio.buffered.start(part) && seconds <= audio.buffered.end(part)) return true;
  }
  return false;
}

/** @param {number} value 0 to 1 */
export function setVolume(value) {
  volume.value = value;
  audio.volume = value;
  remember("volume", value);
}

/** Let go of everything, as when the song was deleted. */
export function eject() {
  audio.pause();
  closeLive();
  closeLive = () => {};
  audio.removeAttribute("src");
  audio.load();
  track.value = null;
  positionSec.value = 0;
}

/** @param {Job} job @param {number} sample whether this take is what is heard now */
export function isHeard(job, sample) {
  const held = track.value;
  return isPlaying.value && held?.jobId === job.id && held.sample === sample;
}

function tick() {
  cancelAnimationFrame(frame);
  let last = 0;
  const step = (/** @type {number} */ now) => {
    if (audio.paused) return;
    if (now - last > FRAME_MS) {
      last = now;
      positionSec.value = audio.currentTime;
    }
    frame = requestAnimationFrame(step);
  };
  frame = requestAnimationFrame(step);
}

audio.addEventListener("loadedmetadata", () => {
  if (wantedSec !== null && wantedSec > 0) audio.currentTime = wantedSec;
  wantedSec = null;
});
audio.addEventListener("play", () => {
  isPlaying.value = true;
  tick();
});
audio.addEventListener("playing", () => {
  isWaiting.value = false;
  playerError.value = "";
});
audio.addEventListener("waiting", () => {
  isWaiting.value = true;
});
audio.addEventListener("pause", () => {
  isPlaying.value = false;
});
audio.addEventListener("timeupdate", () => {
  // In a hidden tab there are no frames. Before the sound is loaded this would say 0.
  if (wantedSec === null) positionSec.value = audio.currentTime;
});
audio.addEventListener("ended", () => {
  isPlaying.value = false;
  isWaiting.value = false;
  const held = track.value;
  const job = trackJob.value;
  if (held?.isLive && job) becomeFile(job, held);
});
audio.addEventListener("error", fail);

/** The sound broke off. */
function fail() {
  if (!track.value || audio.getAttribute("src") === null) return;
  isPlaying.value = false;
  isWaiting.value = false;
  playerError.value = "This sound could not be played.";
  const job = trackJob.value;
  if (track.value.isLive && job) becomeFile(job, track.value);
}

/** What was heard while it was made is a file now. @param {Job} job @param {Track} held */
function becomeFile(job, held) {
  const source = sourceOf(job, held.sample, held.level);
  if (source && !source.isLive) load(job, { ...held, ...source }, audio.currentTime);
}

onJob((job) => {
  const held = track.value;
  if (held?.jobId === job.id && held.isLive && audio.paused && job.status === "succeeded") {
    becomeFile(job, held);
  }
});
