// @ts-check
// The lyrics, with the words marked that fit into the length.
import { html, useEffect, useId, useRef, useState } from "../../lib/html.js";
import { Problem, call } from "../../lib/client.js";
import { counted, duration } from "../../lib/format.js";
import { form, mistakesIn } from "../../lib/new_song.js";
import { change } from "../new_song.js";

const TYPING_MS = 300;
/** What the service looks at, and what fits into the address of a request. */
const MAX_PREVIEW = 8000;
const MAX_ADDRESS = 30000;
const WORD = /\S+/g;
/** Lines that the service leaves out, and signs that no model reads. */
const MARK = /^[ \t]*\[[^\]\n]*\][ \t]*$/gm;
const PICTURES = /[\p{Extended_Pictographic}\p{Emoji_Modifier}\p{Regional_Indicator}\u200d\ufe0f]/gu;

/** @typedef {{fits: boolean[], secondsNeeded: number | null}} Fit */
const MAX_CHARACTERS = 20000;

/** @param {{model: import("../../../types").Model | null, error?: string | null}} props */
export function LyricsEditor({ model, error = null }) {
  const id = useId();
  const back = useRef(/** @type {HTMLElement | null} */ (null));
  const { lyrics, lengthSec } = form.value;
  // The service would refuse a length that no song has.
  const isLength = mistakesIn(form.value, model?.limits).every(({ pointer }) => pointer !== "/duration_seconds");
  const fit = useFit(model?.name ?? "", lyrics, isLength ? lengthSec : "");
  const words = wordsOf(lyrics);
  const numWords = fit?.fits.length ?? words.length;
  const isSilent = model !== null && !model.reads_lyrics;
  return html`<div class="field lyrics-field">
    <label for=${id}>Lyrics</label>
    <div class="lyrics-editor">
      <div class="lyrics-back" ref=${back} aria-hidden="true" dir="auto">${marked(lyrics, words, fit?.fits ?? null)}</div>
      <textarea id=${id} rows="9" dir="auto" maxlength=${MAX_CHARACTERS} value=${lyrics}
        placeholder="One line for each line that is sung" spellcheck=${false}
        aria-describedby=${`${id}-fit`} aria-invalid=${error ? "true" : undefined}
        onInput=${(/** @type {any} */ event) => change({ lyrics: event.currentTarget.value })}
        onScroll=${(/** @type {any} */ event) => {
          if (back.current) back.current.scrollTop = event.currentTarget.scrollTop;
        }}></textarea>
    </div>
    <p id=${`${id}-fit`} class=${error ? "error" : "hint"} aria-live="polite">
      ${error ?? fitText({ numWords, isMarked: words.length === numWords, fit, lengthSec, isSilent, model: model?.name ?? "" })}</p>
  </div>`;
}

/** @param {{numWords: number, isMarked: boolean, fit: Fit | null, lengthSec: number | "", isSilent: boolean, model: string}} facts */
function fitText({ numWords, isMarked, fit, lengthSec, isSilent, model }) {
  if (isSilent) return `${model} does not read lyrics.`;
  if (numWords === 0) return "Without lyrics the voice hums.";
  if (fit === null) return counted(numWords, "word");
  const numFitting = fit.fits.filter(Boolean).length;
  if (numFitting >= fit.fits.length) return `All ${counted(numWords, "word")} fit into ${counted(Number(lengthSec), "second")}.`;
  const needed = fit.secondsNeeded === null ? "" : ` All of them need about ${duration(Math.ceil(fit.secondsNeeded))}.`;
  const how = isMarked ? "; they are marked" : "";
  return `${numFitting} of ${counted(numWords, "word")} fit into ${counted(Number(lengthSec), "second")}${how}.${needed}`;
}

/** The words that a model may read, and where they are. @param {string} text */
function wordsOf(text) {
  const rest = text.replace(MARK, (mark) => " ".repeat(mark.length)).replace(PICTURES, (sign) => " ".repeat(sign.length));
  return [...rest.matchAll(WORD)];
}

/**
 * The text with the words marked that are sung; unmarked if all are, or if the service reads other words.
 *
 * @param {string} text
 * @param {RegExpExecArray[]} words
 * @param {boolean[] | null} sung
 */
function marked(text, words, sung) {
  if (sung === null || sung.length !== words.length || sung.every(Boolean)) return `${text}\n`;
  const parts = [];
  let from = 0;
  let isSung = false;
  words.forEach((word, place) => {
    const isNext = sung[place] ?? false;
    if (isNext === isSung) return;
    parts.push(part(text.slice(from, word.index), isSung));
    from = word.index;
    isSung = isNext;
  });
  parts.push(part(text.slice(from), isSung), "\n");
  return parts;
}

/** @param {string} text @param {boolean} isSung */
function part(text, isSung) {
  return isSung ? html`<mark>${text.trimEnd()}</mark>${text.slice(text.trimEnd().length)}` : text;
}

/**
 * Which words fit into the length; null while nobody knows.
 *
 * @param {string} model
 * @param {string} lyrics
 * @param {number | ""} lengthSec
 */
function useFit(model, lyrics, lengthSec) {
  const [fit, setFit] = useState(/** @type {Fit | null} */ (null));
  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      setFit(await ask(model, lyrics, lengthSec, stop.signal));
    }, TYPING_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [model, lyrics, lengthSec]);
  return fit;
}

/**
 * @param {string} model
 * @param {string} lyrics
 * @param {number | ""} lengthSec
 * @param {AbortSignal} signal
 * @returns {Promise<Fit | null>}
 */
async function ask(model, lyrics, lengthSec, signal) {
  if (!model || !lyrics.trim() || lengthSec === "") return null;
  if (lyrics.length > MAX_PREVIEW || encodeURIComponent(lyrics).length > MAX_ADDRESS) return null;
  try {
    const query = { lyrics, duration_seconds: lengthSec };
    const answer = await call("previewLyrics", { path: { name: model }, query, signal });
    if (answer.text === null) return null;
    const fits = answer.words.map((/** @type {{fits: boolean}} */ word) => word.fits);
    return { fits, secondsNeeded: answer.seconds_needed };
  } catch (error) {
    if (error instanceof Problem || signal.aborted) return null;
    throw error;
  }
}
