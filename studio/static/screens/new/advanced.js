// @ts-check
// What few people change: seed, sampling of each level, speed, file format.
import { html, useEffect, useRef } from "../../lib/html.js";
import { MAX_SEED, MAX_TOP_K, form } from "../../lib/new_song.js";
import { LEVELS, QUALITY } from "../../lib/outputs.js";
import { IconButton, NumberField, RadioGroup } from "../../components/controls.js";
import { change } from "../new_song.js";

/** @param {{model: import("../../../types").Model | null, problem: import("../../lib/client.js").Problem | null}} props */
export function Advanced({ problem }) {
  const { seed, isSeedLocked, speed, format, channels } = form.value;
  const details = useRef(/** @type {HTMLDetailsElement | null} */ (null));
  useEffect(() => {
    // What is wrong is not hidden.
    if (details.current && (problem?.of("seed") || problem?.of("sampling"))) details.current.open = true;
  }, [problem]);
  return html`<details class="advanced" ref=${details}>
    <summary>Advanced</summary>
    <div class="advanced-body">
      <div class="seed-row">
        <${NumberField} label="Seed" min=${0} max=${MAX_SEED} value=${seed} error=${problem?.of("seed")}
          hint=${isSeedLocked ? "Locked: the same request makes the same song." : "A new one for every song."}
          onValue=${(/** @type {number} */ value) => change({ seed: value, isSeedLocked: true })} />
        <${IconButton} name="Lock the seed" icon=${isSeedLocked ? "lock" : "unlock"} isPressed=${isSeedLocked}
          onClick=${() => change({ isSeedLocked: !isSeedLocked })} />
      </div>
      ${LEVELS.map((level) => html`<${Sampling} key=${level} level=${level}
        problem=${problem} />`)}
      <${RadioGroup} label="Speed" value=${speed} onValue=${(/** @type {string} */ value) => change({ speed: value })}
        options=${[{ value: "exact", label: "Exact" }, { value: "parallel", label: "Faster" }]} />
      <${RadioGroup} label="Channels" value=${channels} onValue=${(/** @type {string} */ value) => change({ channels: value })}
        options=${[{ value: "1", label: "Mono" }, { value: "2", label: "Stereo" }]} />
      <${RadioGroup} label="File format" value=${format} onValue=${(/** @type {string} */ value) => change({ format: value })}
        options=${["wav", "flac", "ogg", "mp3"].map((value) => ({ value, label: value.toUpperCase() }))} />
    </div>
  </details>`;
}

/** @param {{level: "top" | "middle" | "bottom", problem: import("../../lib/client.js").Problem | null}} props */
function Sampling({ level, problem }) {
  const values = form.value.sampling[level];
  const set = (/** @type {Partial<import("../../lib/new_song.js").Sampling>} */ part) => {
    change({ sampling: { ...form.value.sampling, [level]: { ...values, ...part } } });
  };
  return html`<fieldset class="sampling">
    <legend>${QUALITY[level]} sound</legend>
    <${NumberField} label="Temperature" min=${0.01} max=${10} step=${0.01} value=${values.temperature}
      error=${problem?.of(`sampling/${level}/temperature`)}
      onValue=${(/** @type {number} */ temperature) => set({ temperature })} />
    <${NumberField} label="Top k" min=${0} max=${MAX_TOP_K} value=${values.top_k}
      error=${problem?.of(`sampling/${level}/top_k`)}
      onValue=${(/** @type {number} */ top_k) => set({ top_k })} />
    <${NumberField} label="Top p" min=${0} max=${1} step=${0.01} value=${values.top_p}
      error=${problem?.of(`sampling/${level}/top_p`)}
      onValue=${(/** @type {number} */ top_p) => set({ top_p })} />
  </fieldset>`;
}
