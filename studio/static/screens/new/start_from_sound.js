// @ts-check
// A recording that the song begins with: a file or the microphone, and which part of it.
import { html, signal, useEffect, useRef, useState } from "../../lib/html.js";
import { Problem, call, idempotencyKey } from "../../lib/client.js";
import { bytes, duration } from "../../lib/format.js";
import { form } from "../../lib/new_song.js";
import { pause } from "../../lib/player.js";
import { decoded, peaksOf, record } from "../../lib/recording.js";
import { PartFields } from "../../components/part_fields.js";
import { Icon } from "../../components/icon.js";
import { Waveform } from "../../components/waveform.js";
import { change } from "../new_song.js";

const POINTS = 600;
const SUGGESTED_SEC = 5;
/** What the service takes. */
const MAX_BYTES = 64 * 2 ** 20;

/** The sound in the memory of this tab; after a reload only the name and the part are known.
 * @type {{value: {assetId: string, peaks: Float32Array, url: string} | null}} */
const heard = signal(null);

/** @param {{error?: string | null}} props */
export function StartFromSound({ error = null }) {
  const [state, setState] = useState(/** @type {"idle" | "recording" | "sending"} */ ("idle"));
  const [failure, setFailure] = useState("");
  const recorder = useRef(/** @type {{stop: () => Promise<File>} | null} */ (null));
  const picker = useRef(/** @type {HTMLInputElement | null} */ (null));
  const guarded = async (/** @type {() => Promise<void>} */ run) => {
    setFailure("");
    try {
      await run();
    } catch (problem) {
      setFailure(problem instanceof Problem ? problem.words : /** @type {Error} */ (problem).message);
      setState("idle");
    }
  };
  const take = (/** @type {File} */ file) => guarded(async () => {
    setState("sending");
    await upload(file);
    setState("idle");
  });
  const pick = (/** @type {HTMLInputElement} */ input) => {
    const file = input.files?.[0];
    if (file) void take(file);
    // The same file can be chosen again, as after an error.
    input.value = "";
  };
  const startOrStop = () => guarded(async () => {
    if (recorder.current) {
      const { stop } = recorder.current;
      recorder.current = null;
      await take(await stop());
    } else {
      pause();
      recorder.current = await record();
      setState("recording");
    }
  });
  // Whoever leaves the screen is not listened to any longer.
  useEffect(() => () => void recorder.current?.stop().catch(() => {}), []);
  const { start } = form.value;
  return html`<section class="start" aria-labelledby="start-heading">
    <h2 id="start-heading">Start from a sound</h2>
    ${start ? html`<${Chosen} start=${start} />` : html`<p class="hint">Hum a tune or bring a recording: the song goes on from there.</p>
      <div class="row-of-buttons">
        <input type="file" ref=${picker} hidden accept="audio/*,.flac,.aif,.aiff,.mp4,.webm" aria-label="Sound file"
          onChange=${(/** @type {any} */ event) => pick(event.currentTarget)} />
        <button type="button" disabled=${state !== "idle"} onClick=${() => picker.current?.click()}>
          <${Icon} name="upload" />Upload a sound</button>
        <button type="button" class=${state === "recording" ? "recording" : ""} disabled=${state === "sending"}
          onClick=${startOrStop}><${Icon} name=${state === "recording" ? "stop" : "mic"} />
          ${state === "recording" ? "Stop recording" : "Record"}</button>
        ${state === "sending" ? html`<span role="status">Reading the sound …</span>` : null}
      </div>`}
    ${failure || error ? html`<p class="error" role="alert">${failure || error}</p>` : null}
  </section>`;
}

/** @param {File} file */
async function upload(file) {
  // Told before it is sent: that would take long.
  if (file.size > MAX_BYTES) throw new Error(`The file has ${bytes(file.size)}, and at most ${bytes(MAX_BYTES)} are taken.`);
  const sound = await decoded(file);
  const data = new FormData();
  data.append("file", file, file.name);
  const headers = { "Idempotency-Key": idempotencyKey() };
  const asset = await call("createAsset", { form: data, headers });
  if (asset.kind !== "audio") {
    await call("deleteAsset", { path: { asset_id: asset.id } });
    throw new Error("This file holds codes, not a sound.");
  }
  const durationSec = asset.duration_seconds ?? sound?.duration ?? 0;
  const peaks = sound ? peaksOf(sound, POINTS) : new Float32Array(0);
  if (heard.value) URL.revokeObjectURL(heard.value.url);
  heard.value = { assetId: asset.id, peaks, url: sound ? URL.createObjectURL(file) : "" };
  const endSec = Math.min(durationSec, SUGGESTED_SEC);
  // The length counts the recording, and something should come after it.
  const shortestSec = Math.ceil(endSec) + SUGGESTED_SEC;
  change({
    start: { assetId: asset.id, name: file.name, durationSec, startSec: 0, endSec },
    lengthSec: Math.max(Number(form.value.lengthSec), shortestSec),
  });
}

/** @param {{start: import("../../lib/new_song.js").Start}} props */
function Chosen({ start }) {
  const [positionSec, setPosition] = useState(0);
  const audio = useRef(/** @type {HTMLAudioElement | null} */ (null));
  const sound = heard.value?.assetId === start.assetId ? heard.value : null;
  const set = (/** @type {Partial<import("../../lib/new_song.js").Start>} */ part) => {
    change({ start: { ...start, ...part } });
  };
  useEffect(() => () => audio.current?.pause(), []);
  const listen = () => {
    const element = audio.current;
    if (!element) return;
    if (!element.paused) {
      element.pause();
      return;
    }
    pause();
    element.currentTime = start.startSec;
    void element.play();
  };
  const follow = (/** @type {any} */ event) => {
    setPosition(event.currentTarget.currentTime);
    if (event.currentTarget.currentTime >= start.endSec) event.currentTarget.pause();
  };
  return html`<div class="chosen">
    <p class="chosen-name"><bdi>${start.name}</bdi> <span class="hint">${duration(start.durationSec)}</span></p>
    ${sound && sound.peaks.length > 0 ? html`<${Waveform} peaks=${sound.peaks} durationSec=${start.durationSec}
      positionSec=${positionSec} heightPx=${72} canSelect part=${{ startSec: start.startSec, endSec: start.endSec }}
      onSeek=${setPosition} onPart=${set} />` : null}
    <div class="chosen-fields">
      <${PartFields} part=${start} durationSec=${start.durationSec} onPart=${set} />
      ${sound?.url ? html`<button type="button" onClick=${listen}><${Icon} name="play" isFilled />Listen</button>
        <audio ref=${audio} src=${sound.url} onTimeUpdate=${follow}></audio>` : null}
      <button type="button" class="quiet" onClick=${() => change({ start: null })}>Remove the sound</button>
    </div>
  </div>`;
}
