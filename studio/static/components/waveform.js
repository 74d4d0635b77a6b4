// @ts-check
// A waveform that somebody else plays: it shows a position, takes clicks, and lets a part be chosen.
import { clock } from "../lib/format.js";
import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib/html.js";
import WaveSurfer from "../vendor/wavesurfer.js";
import Regions from "../vendor/wavesurfer-regions.js";

/** @typedef {{startSec: number, endSec: number}} Part */

const NONCE = document.querySelector("meta[name=style-nonce]")?.getAttribute("content") ?? undefined;
const MIN_PART_SEC = 0.2;
/** Id of the region that shows `part`, not one that is drawn. */
const SHOWN = "shown";

/** The value of a custom property of the style sheet. @param {string} name */
function color(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/**
 * @param {{peaks: ArrayLike<number>, durationSec: number, positionSec: number, heightPx?: number,
 *   onSeek: (seconds: number) => void, part?: Part | null, onPart?: (part: Part) => void,
 *   canSelect?: boolean, hasTimeline?: boolean}} props
 *   `part` is the chosen section; `canSelect` lets it be drawn by dragging.
 */
export function Waveform({
  peaks, durationSec, positionSec, onSeek, heightPx = 112, part = null, onPart = () => {},
  canSelect = false, hasTimeline = false,
}) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  const wave = useRef(/** @type {any} */ (null));
  const [isReady, setReady] = useState(false);
  const regions = useRef(/** @type {any} */ (null));
  const handlers = useRef({ onSeek, onPart });
  handlers.current = { onSeek, onPart };

  useEffect(() => {
    if (!place.current || peaks.length === 0) return undefined;
    const made = Regions.create();
    const surfer = WaveSurfer.create({
      container: place.current, height: heightPx, peaks: [Float32Array.from(peaks)],
      duration: durationSec, media: document.createElement("audio"), cspNonce: NONCE,
      waveColor: color("--wave"), progressColor: color("--accent"), cursorColor: color("--ink"),
      cursorWidth: 2, barWidth: 3, barGap: 2, barRadius: 3, normalize: true, interact: true,
      plugins: [made],
    });
    // Before this, every region would end at 0.
    surfer.on("ready", () => setReady(true));
    surfer.on("interaction", (/** @type {number} */ seconds) => handlers.current.onSeek(seconds));
    const tell = (/** @type {any} */ region) => {
      for (const other of made.getRegions()) if (other !== region) other.remove();
      handlers.current.onPart({ startSec: region.start, endSec: region.end });
    };
    // What was typed is shown as far as it lies within the sound, and stays as it was typed.
    made.on("region-created", (/** @type {any} */ region) => region.id === SHOWN || tell(region));
    made.on("region-updated", tell);
    wave.current = surfer;
    regions.current = made;
    return () => {
      wave.current = null;
      regions.current = null;
      setReady(false);
      surfer.destroy();
    };
  }, [peaks, durationSec, heightPx]);

  useLayoutEffect(() => {
    if (!canSelect || !isReady || !regions.current) return undefined;
    return regions.current.enableDragSelection({ color: color("--region"), minLength: MIN_PART_SEC });
  }, [canSelect, isReady]);

  useEffect(() => {
    if (isReady) showPart(regions.current, part);
  }, [part?.startSec, part?.endSec, isReady]);
  useEffect(() => wave.current?.setTime(positionSec), [positionSec, isReady]);

  return html`<div class="waveform" ref=${place} aria-hidden="true"
      style=${{ minHeight: `${heightPx}px` }}></div>
    ${hasTimeline ? html`<${Times} durationSec=${durationSec} />` : null}`;
}

/** Show the chosen part, which fields beside the waveform may have changed. */
function showPart(/** @type {any} */ regions, /** @type {Part | null} */ part) {
  if (!regions) return;
  const [shown] = regions.getRegions();
  if (!part) shown?.remove();
  else if (!shown) {
    regions.addRegion({
      id: SHOWN, start: part.startSec, end: part.endSec, color: color("--region"), minLength: MIN_PART_SEC,
    });
  } else if (Math.abs(shown.start - part.startSec) + Math.abs(shown.end - part.endSec) > 1e-3) {
    shown.setOptions({ start: part.startSec, end: part.endSec });
  }
}

/** Times below the waveform. @param {{durationSec: number}} props */
function Times({ durationSec }) {
  const step = [1, 2, 5, 10, 15, 30, 60].find((each) => durationSec / each <= 11) ?? 120;
  const count = Math.floor(durationSec / step) + 1;
  return html`<div class="times" aria-hidden="true">${Array.from({ length: count }, (_, place) => html`<span key=${place}
    style=${{ left: `${((place * step) / durationSec) * 100}%` }}>${clock(place * step)}</span>`)}</div>`;
}
