// @ts-check
// The form "New song" as plain values, and the request that it makes.
import { call } from "./client.js";
import { draft } from "./drafts.js";
import { mistakeIn } from "./edits.js";
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

/** Lyrics to begin with; each fits into the length of an empty form. */
export const STARTERS = [
  "Put a coin in the jukebox,\npick a row,\nten more seconds\nand then we go.",
  "Rain on the window,\nlight on the floor,\nsing me the morning,\nsing me one more.",
  "Last train is leaving,\nnobody sleeps,\nthe city is humming\na song that it keeps.",
  "Slow river, slow river,\ncarry me down,\nthe moon in the water,\nthe lamps of the town.",
];
const DEFAULT_LENGTH_SEC = 10;
export const MAX_TAKES = 16;
export const MAX_SEED = 2 ** 53 - 1;
export const MAX_TOP_K = 1_000_000;

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

/** Whether nothing was said yet about what to sing. */
export function isUnused() {
  return !form.value.artist && !form.value.genre && !form.value.lyrics;
}

const NUM_SUGGESTED = 50;

/**
 * Fill in a voice that the model knows, and lyrics unless there are own ones.
 *
 * @param {string} model
 * @param {{isRandom?: boolean}} [how] by chance, or the model's first names
 * @throws {import("./client.js").Problem}
 */
export async function suggest(model, { isRandom = false } = {}) {
  const parts = { path: { name: model }, query: { limit: isRandom ? NUM_SUGGESTED : 1 } };
  const [artists, genres] = await Promise.all([
    call("searchArtists", parts), call("searchGenres", parts),
  ]);
  const one = (/** @type {{name: string}[]} */ names) => anyOf(names)?.name ?? "";
  const { lyrics } = form.value;
  const others = STARTERS.filter((each) => each !== lyrics);
  const isOwn = lyrics.trim() !== "" && !STARTERS.includes(lyrics);
  form.value = {
    ...form.value, artist: one(artists.data), genre: one(genres.data),
    lyrics: isOwn ? lyrics : (isRandom ? anyOf(others) ?? "" : STARTERS[0]),
  };
}

/** @template T @param {T[]} all @returns {T | undefined} */
function anyOf(all) {
  return all[Math.floor(Math.random() * all.length)];
}

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

/**
 * What is wrong with the numbers, in the words of the form: the service would name its own fields.
 *
 * @param {Form} values
 * @param {{min_duration_seconds: number, max_duration_seconds: number} | null | undefined} limits
 * @returns {{pointer: string, detail: string}[]}
 */
export function mistakesIn(values, limits) {
  const mistakes = [];
  const [shortest, longest] = [limits?.min_duration_seconds ?? 0, limits?.max_duration_seconds ?? Infinity];
  if (values.lengthSec === "") {
    mistakes.push({ pointer: "/duration_seconds", detail: "Say how long the song is." });
  } else if (values.lengthSec <= 0 || values.lengthSec < shortest || values.lengthSec > longest) {
    const least = Math.ceil(shortest * 100) / 100;
    mistakes.push({ pointer: "/duration_seconds", detail: `From ${least} to ${longest} seconds.` });
  }
  const add = (/** @type {string} */ pointer, /** @type {string | null} */ detail) => {
    if (detail) mistakes.push({ pointer, detail });
  };
  add("/num_samples", values.takes === "" ? null : mistakeInTakes(values.takes));
  if (values.isSeedLocked) add("/seed", outside(values.seed, 0, MAX_SEED, { isWhole: true }));
  for (const level of LEVELS) {
    const { temperature, top_k, top_p } = values.sampling[level];
    add(`/sampling/${level}/temperature`, outside(temperature, 0.01, 10));
    add(`/sampling/${level}/top_k`, outside(top_k, 0, MAX_TOP_K, { isWhole: true }));
    add(`/sampling/${level}/top_p`, outside(top_p, 0, 1));
  }
  if (values.start) add("/prompt", mistakeIn(values.start, values.start.durationSec) && "Choose a part of the sound.");
  return mistakes;
}

/** @param {number | ""} takes */
export function mistakeInTakes(takes) {
  return takes === "" ? `From 1 to ${MAX_TAKES} takes.` : outside(takes, 1, MAX_TAKES, { isWhole: true, unit: " takes" });
}

/**
 * @param {number | ""} value empty is the model's own
 * @param {number} least
 * @param {number} most
 */
function outside(value, least, most, { isWhole = false, unit = "" } = {}) {
  if (value === "" || (value >= least && value <= most && (!isWhole || Number.isInteger(value)))) return null;
  return `${isWhole && !unit ? "A whole number from" : "From"} ${least} to ${most}${unit}.`;
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
