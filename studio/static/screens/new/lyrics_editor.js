// @ts-check
// The lyrics, with the words marked that fit into the length.
import { html, useEffect, useId, useRef, useState } from "../../lib/html.js";
import { Problem, call } from "../../lib/client.js";
import { counted } from "../../lib/format.js";
import { form } from "../../lib/new_song.js";
import { change } from "../new_song.js";

const TYPING_MS = 300;
/** Longer texts do not fit into the address of a request. */
const MAX_ADDRESS_CHARACTERS = 30000;
const MAX_CHARACTERS = 20000;

/** @param {{model: import("../../../types").Model | null, error?: string | null}} props */
export function LyricsEditor({ model, error = null }) {
  const id = useId();
  const back = useRef(/** @type {HTMLElement | null} */ (null));
  const { lyrics, lengthSec } = form.value;
  const numSung = useWordsThatFit(model?.name ?? "", lyrics, lengthSec);
  const words = wordsOf(lyrics);
  const isSilent = model !== null && !model.reads_lyrics;
  return html`<div class="field lyrics-field">
    <label for=${id}>Lyrics</label>
    <div class="lyrics-editor">
      <div class="lyrics-back" ref=${back} aria-hidden="true" dir="auto">${marked(lyrics, numSung)}</div>
      <textarea id=${id} rows="9" dir="auto" maxlength=${MAX_CHARACTERS} value=${lyrics}
        placeholder="One line for each line that is sung" spellcheck=${false}
        aria-describedby=${`${id}-fit`} aria-invalid=${error ? "true" : undefined}
        onInput=${(/** @type {any} */ event) => change({ lyrics: event.currentTarget.value })}
        onScroll=${(/** @type {any} */ event) => {
          if (back.current) back.current.scrollTop = event.currentTarget.scrollTop;
        }}></textarea>
    </div>
    <p id=${`${id}-fit`} class=${error ? "error" : "hint"} aria-live="polite">
      ${error ?? fitText({ numWords: words.length, numSung, lengthSec, isSilent, model: model?.name ?? "" })}</p>
  </div>`;
}

/** @param {{numWords: number, numSung: number | null, lengthSec: number | "", isSilent: boolean, model: string}} facts */
function fitText({ numWords, numSung, lengthSec, isSilent, model }) {
  if (isSilent) return `${model} does not read lyrics.`;
  if (numWords === 0) return "Without lyrics the voice hums.";
  if (numSung === null) return counted(numWords, "word");
  if (numSung >= numWords) return `All ${counted(numWords, "word")} fit into ${lengthSec} seconds.`;
  return `${numSung} of ${counted(numWords, "word")} fit into ${lengthSec} seconds; they are marked.`;
}

/** @param {string} text */
function wordsOf(text) {
  return text.split(/\s+/).filter(Boolean);
}

/** The text with its first words marked. @param {string} text @param {number | null} numSung */
function marked(text, numSung) {
  const numWords = wordsOf(text).length;
  if (numSung === null || numSung >= numWords) return `${text}\n`;
  const fitting = new RegExp(`^\\s*(?:\\S+\\s*){0,${numSung}}`).exec(text)?.[0].trimEnd() ?? "";
  return html`<mark>${fitting}</mark>${text.slice(fitting.length)}${"\n"}`;
}

/**
 * How many of the first words are sung; null while nobody knows.
 *
 * @param {string} model
 * @param {string} lyrics
 * @param {number | ""} lengthSec
 */
function useWordsThatFit(model, lyrics, lengthSec) {
  const [numSung, setNumSung] = useState(/** @type {number | null} */ (null));
  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      setNumSung(await ask(model, lyrics, lengthSec, stop.signal));
    }, TYPING_MS);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [model, lyrics, lengthSec]);
  return numSung;
}

/**
 * @param {string} model
 * @param {string} lyrics
 * @param {number | ""} lengthSec
 * @param {AbortSignal} signal
 */
async function ask(model, lyrics, lengthSec, signal) {
  if (!model || !lyrics.trim() || lengthSec === "") return null;
  if (encodeURIComponent(lyrics).length > MAX_ADDRESS_CHARACTERS) return null;
  try {
    const query = { lyrics, duration_seconds: lengthSec };
    const answer = await call("previewLyrics", { path: { name: model }, query, signal });
    if (answer.text === null) return null;
    return wordsOf(sungText(answer)).length;
  } catch (error) {
    if (error instanceof Problem || signal.aborted) return null;
    throw error;
  }
}

/** @param {import("../../../types").Lyrics} lyrics */
function sungText(lyrics) {
  if (typeof lyrics.sung === "string") return lyrics.sung;
  const end = Math.max(0, ...lyrics.windows.map((each) => each.first_character + each.text.length));
  return (lyrics.text ?? "").slice(0, end);
}
