// @ts-check
// Going on from a song: more of it, finer levels, or the same again.
import { html, useState } from "../../lib/html.js";
import { counted } from "../../lib/format.js";
import { reuse } from "../../lib/new_song.js";
import { LEVELS, bestOutput, isActive, outputOf, takesOf } from "../../lib/outputs.js";
import { go, hrefOf } from "../../lib/router.js";
import { maySubmit } from "../../lib/session.js";
import { songView } from "../../lib/song_view.js";
import { NumberField, goToMistake } from "../../components/controls.js";
import { Icon } from "../../components/icon.js";
import { useMake } from "./make.js";

const DEFAULT_SEC = 10;
const MAX_SEC = 600;

/** @param {{job: import("../../../types").Job}} props */
export function NextSteps({ job }) {
  const [seconds, setSeconds] = useState(/** @type {number | ""} */ (DEFAULT_SEC));
  const { make: send, error } = useMake();
  const sample = songView(job.id).sample.value;
  if (!maySubmit()) return null;
  if (!bestOutput(job, sample)) return isActive(job) ? null : html`<${Again} job=${job} />`;
  const make = (/** @type {object} */ body) => send({ parent_id: job.id, sample, ...body });
  const isWrong = seconds !== "" && !(seconds > 0 && seconds <= MAX_SEC);
  const next = nextLevels(job, sample);
  return html`<section class="panel next-steps" aria-labelledby="next-heading"><h2 id="next-heading">Next</h2>
    ${takesOf(job).length > 1 ? html`<p class="hint">With take ${sample + 1}</p>` : null}
    <div class="continue">
      <${NumberField} label="Seconds to add" unit="s" min=${0.1} max=${MAX_SEC} step="any" value=${seconds}
        error=${isWrong ? `More than 0, and up to ${MAX_SEC} seconds.` : null} onValue=${setSeconds} />
      <button type="button" id="continue-button" class="primary" disabled=${seconds === ""}
        onClick=${() => goToMistake(".continue") || make({ mode: "continue", duration_seconds: seconds })}>
        <${Icon} name="branch" />Continue by ${counted(seconds || 0, "second")}</button>
    </div>
    ${next ? html`<button type="button" onClick=${() => make({ mode: "upsample", levels: next })}>
      <${Icon} name="wave" />Refine</button>` : null}
    <${Reuse} job=${job} />
    ${error ? html`<p class="error" role="alert">${error}</p>` : null}
  </section>`;
}

/** What is left to do with a song that has no sound. @param {{job: import("../../../types").Job}} props */
function Again({ job }) {
  return html`<section class="panel next-steps" aria-labelledby="next-heading"><h2 id="next-heading">Next</h2>
    <p class="hint">A new song from the same artist, genre, lyrics and length, which you can change first.</p>
    <${Reuse} job=${job} /></section>`;
}

/** @param {{job: import("../../../types").Job}} props */
function Reuse({ job }) {
  const begin = () => {
    reuse(job);
    go(hrefOf("new"));
  };
  return html`<button type="button" onClick=${begin}><${Icon} name="plus" />Reuse its settings</button>`;
}

/** The levels after refining; null if nothing is missing. @param {import("../../../types").Job} job @param {number} sample */
function nextLevels(job, sample) {
  return outputOf(job, sample, "bottom") || !outputOf(job, sample, "top") ? null : [...LEVELS];
}
