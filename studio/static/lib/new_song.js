// @ts-check
// The form "New song" as plain values, and the request that it makes.
import { draft } from "./drafts.js";
import { lyricsOf } from "./format.js";
import { LEVELS } from "./outputs.js";

/**
 * @typedef {object} Start a recording that the song begins with
 * @property {string} assetId
 * @property {string} name
 * @property {number} durationSec
 * @property {number} startSec
 * @property {number} endSec
 *
 * @typedef {object} Sampling
 * @property {number | ""} temperature
 * @property {number | ""} top_k
 * @property {number | ""} top_p
 *
 * @typedef {object} Form
 * @property {string} model
 * @property {string} artist
 * @property {string} genre
 * @property {string} lyrics
 * @property {number | ""} lengthSec
 * @property {number | ""} takes
 * @property {number | ""} seed
 * @property {boolean} isSeedLocked
 * @property {string} speed
 * @property {string} format
 * @property {string} channels
 * @property {Record<string, Sampling>} sampling
 * @property {Start | null} start
 */

export const STARTER = "Put a coin in the jukebox,\npick a row,\nten more seconds\nand then we go.";
const DEFAULT_LENGTH_SEC = 10;

/** @returns {Form} */
export function emptyForm() {
  return {
    model: "", artist: "", genre: "", lyrics: "", lengthSec: DEFAULT_LENGTH_SEC, takes: 1,
    seed: "", isSeedLocked: false, speed: "exact", format: "wav", channels: "1", start: null,
    sampling: Object.fromEntries(
      LEVELS.map((level) => [level, { temperature: 0.99, top_k: 0, top_p: 0 }]),
    ),
  };
}

/** What is typed, kept over reloads. */
export const form = draft("new", emptyForm);

/**
 * The body of `POST /jobs`.
 *
 * @param {Form} values
 * @param {{model: string, isDraft: boolean}} how
 */
export function bodyOf(values, { model, isDraft }) {
  /** @type {Record<string, unknown>} */
  const body = {
    mode: values.start ? "primed" : "ancestral",
    model,
    artist: values.artist.trim(),
    genre: values.genre.trim(),
    lyrics: values.lyrics,
    duration_seconds: values.lengthSec === "" ? null : values.lengthSec,
    num_samples: values.takes === "" ? 1 : values.takes,
    speed: values.speed,
    audio_format: values.format,
    sampling: samplingOf(values.sampling),
  };
  if (isDraft) body.levels = ["top"];
  if (values.isSeedLocked && values.seed !== "") body.seed = values.seed;
  if (values.channels === "2") body.channels = 2;
  if (values.start) {
    const { assetId, startSec, endSec } = values.start;
    body.prompt = {
      asset_id: assetId, start_seconds: round(startSec), seconds: round(endSec - startSec),
    };
  }
  return body;
}

/** @param {Record<string, Sampling>} sampling */
function samplingOf(sampling) {
  return Object.fromEntries(Object.entries(sampling).map(([level, values]) => [
    level,
    Object.fromEntries(Object.entries(values).filter(([, value]) => value !== "")),
  ]));
}

/** Begin again with what a song was made of. @param {import("../../types").Job} job */
export function reuse(job) {
  const { input } = job;
  form.value = {
    ...emptyForm(), model: input.model, artist: input.artist, genre: input.genre,
    // What is made from another song asks for a part of it only.
    lyrics: lyricsOf(job), lengthSec: job.duration_seconds,
    takes: input.num_samples, seed: job.seed, speed: input.speed, format: input.audio_format,
    channels: String(input.channels ?? 1),
    sampling: Object.fromEntries(LEVELS.map((level) => {
      const { temperature, top_k, top_p } = input.sampling[level];
      return [level, { temperature, top_k, top_p }];
    })),
  };
}

/** To milliseconds. @param {number} seconds */
function round(seconds) {
  return Math.round(seconds * 1000) / 1000;
}
