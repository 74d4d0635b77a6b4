// @ts-check
// A piece of another song, put into this one.
import { html, useEffect, useId, useLayoutEffect, useRef, useState } from "../../../lib/html.js";
import { call, Problem } from "../../../lib/client.js";
import { bylineOf, clock, hundredths, titleOf } from "../../../lib/format.js";
import { insertAt, mistakeIn, piece, spliceBody } from "../../../lib/edits.js";
import { takingAnswer } from "../../../lib/jobs.js";
import { bestLevel, takesOf } from "../../../lib/outputs.js";
import { usePeaks } from "../../../lib/peaks.js";
import { positionSec, track } from "../../../lib/player.js";
import { songView } from "../../../lib/song_view.js";
import { Field, NumberField } from "../../../components/controls.js";
import { Icon } from "../../../components/icon.js";
import { PartFields } from "../../../components/part_fields.js";
import { Waveform } from "../../../components/waveform.js";

/** @typedef {import("../../../../types").Job} Job */

const LIMIT = 30;
const TYPING_MS = 150;
const POINTS = 500;

/** @param {{job: Job, make: import("../make.js").Make}} props */
export function Insert({ job, make }) {
  const [isOpen, setOpen] = useState(false);
  return html`<button type="button" onClick=${() => setOpen(true)}><${Icon} name="plus" />Insert another song</button>
    ${isOpen ? html`<${InsertDialog} job=${job} make=${make} onClose=${() => setOpen(false)} />` : null}`;
}

/** @param {{job: Job, make: import("../make.js").Make, onClose: () => void}} props */
function InsertDialog({ job, make, onClose }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const view = songView(job.id);
  const heardSec = track.value?.jobId === job.id ? positionSec.value : 0;
  const [other, setOther] = useState(/** @type {Job | null} */ (null));
  const [sample, setSample] = useState(0);
  const [part, setPart] = useState({ startSec: 0, endSec: 0 });
  const [atSec, setAt] = useState(/** @type {number | ""} */ (hundredths(view.section.value?.startSec ?? heardSec)));
  useLayoutEffect(() => dialog.current?.showModal(), []);
  const choose = (/** @type {Job} */ chosen) => {
    setOther(chosen);
    setSample(0);
    setPart({ startSec: 0, endSec: chosen.duration_seconds });
  };
  const atMistake = atSec === "" || atSec < 0 || atSec > job.duration_seconds ? `From 0 to ${hundredths(job.duration_seconds)} seconds.` : null;
  const isWrong = !other || atMistake !== null || mistakeIn(part, other.duration_seconds) !== null;
  const insert = async () => {
    if (!other || atSec === "") return;
    const from = piece(other, sample, part.startSec, part.endSec);
    dialog.current?.close();
    await make(spliceBody(insertAt(job, view.sample.value, atSec, from), [job, other]));
  };
  return html`<dialog class="dialog dialog-wide" ref=${dialog} aria-labelledby="insert-heading" onClose=${onClose}>
    <h2 id="insert-heading">Insert another song</h2>
    ${other ? html`<${Piece} job=${other} sample=${sample} setSample=${setSample} part=${part} setPart=${setPart} />
      <${NumberField} label="Insert at" unit="s" min=${0} max=${job.duration_seconds} step="any" value=${atSec}
        error=${atMistake} onValue=${setAt} />`
    : html`<${SongChoice} model=${job.input.model} onChoose=${choose} />`}
    <div class="dialog-buttons">
      ${other ? html`<button type="button" class="primary" disabled=${isWrong}
        onClick=${insert}>Insert</button>
        <button type="button" class="quiet" onClick=${() => setOther(null)}>Another song</button>` : null}
      <button type="button" class="quiet" onClick=${() => dialog.current?.close()}>Cancel</button>
    </div>
  </dialog>`;
}

/** Songs of the same model, to choose one. @param {{model: string, onChoose: (job: Job) => void}} props */
function SongChoice({ model, onChoose }) {
  const [text, setText] = useState("");
  const songs = useSongs(model, text);
  return html`<${Field} label="Search songs">
      ${(/** @type {any} */ { id }) => html`<input id=${id} type="search" value=${text} dir="auto" autofocus
        onInput=${(/** @type {any} */ event) => setText(event.currentTarget.value)} />`}
    <//>
    <ul class="song-choice" aria-label="Songs">${songs?.map((song) => html`<li key=${song.id}>
      <button type="button" class="quiet" onClick=${() => onChoose(song)}><bdi>${titleOf(song)}</bdi>
        <span class="hint"><bdi>${bylineOf(song)}</bdi> ${clock(song.duration_seconds)}</span></button></li>`)}</ul>
    ${songs?.length === 0 ? html`<p class="hint" role="status">No finished song of this model matches.</p>` : null}`;
}

/**
 * @param {{job: Job, sample: number, setSample: (sample: number) => void,
 *   part: import("../../../components/waveform.js").Part,
 *   setPart: (part: import("../../../components/waveform.js").Part) => void}} props
 */
function Piece({ job, sample, setSample, part, setPart }) {
  const id = useId();
  const peaks = usePeaks(job, sample, bestLevel(job), POINTS);
  return html`<p class="chosen-name"><bdi>${titleOf(job)}</bdi></p>
    ${job.input.num_samples > 1 ? html`<div class="field"><label for=${id}>Take</label>
      <select id=${id} value=${sample} onChange=${(/** @type {any} */ event) => setSample(Number(event.currentTarget.value))}>
        ${takesOf(job).map((take) => html`<option key=${take} value=${take}>Take ${take + 1}</option>`)}
      </select></div>` : null}
    ${peaks.length > 0 ? html`<${Waveform} peaks=${peaks} durationSec=${job.duration_seconds} positionSec=${part.startSec}
      heightPx=${72} canSelect part=${part} onSeek=${() => {}} onPart=${setPart} />` : null}
    <div class="chosen-fields">
      <${PartFields} part=${part} durationSec=${job.duration_seconds} onPart=${setPart} labels=${["Piece from", "Piece to"]} />
    </div>`;
}

/** Finished songs like a text; null until the service has answered. @param {string} model @param {string} text */
function useSongs(model, text) {
  const [songs, setSongs] = useState(/** @type {Job[] | null} */ (null));
  useEffect(() => {
    const stop = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const query = { q: text.trim(), model, status: "succeeded", limit: LIMIT };
        const take = takingAnswer();
        const { data } = await call("listJobs", { query, signal: stop.signal });
        data.forEach(take);
        setSongs(data);
      } catch (error) {
        if (stop.signal.aborted) return;
        if (!(error instanceof Problem)) throw error;
        setSongs([]);
      }
    }, text ? TYPING_MS : 0);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [model, text]);
  return songs;
}
