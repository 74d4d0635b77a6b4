// @ts-check
// A song while it is sung. An audio element alone waits for many seconds of an endless file before it
// plays; fed from memory it plays the first packet.
import { SERVICE_URL } from "./client.js";
import { OggPackets, cluster, packetMs, webmHead } from "./webm.js";

const TYPE = 'audio/webm; codecs="opus"';
/** OpusHead and OpusTags. */
const NUM_HEADERS = 2;

/**
 * Where an audio element finds the stream, and what ends it.
 *
 * @param {string} url
 * @param {number} startSec
 * @param {() => void} onFailed the stream broke off
 * @returns {{src: string, close: () => void}}
 */
export function openLive(url, startSec, onFailed) {
  if (!("MediaSource" in globalThis) || !MediaSource.isTypeSupported(TYPE)) {
    return { src: new URL(`${url}&format=wav`, SERVICE_URL).href, close: () => {} };
  }
  const media = new MediaSource();
  const src = URL.createObjectURL(media);
  const stop = new AbortController();
  media.addEventListener("sourceopen", () => {
    const from = new URL(`${url}&format=ogg&start_seconds=${startSec.toFixed(3)}`, SERVICE_URL);
    feed(media, from, startSec, stop.signal).catch(() => {
      if (!stop.signal.aborted) onFailed();
    });
  }, { once: true });
  const close = () => {
    stop.abort();
    URL.revokeObjectURL(src);
  };
  return { src, close };
}

/** @param {MediaSource} media @param {URL} url @param {number} startSec @param {AbortSignal} signal */
async function feed(media, url, startSec, signal) {
  const buffer = media.addSourceBuffer(TYPE);
  const response = await fetch(url, { signal, credentials: "same-origin" });
  if (!response.ok || !response.body) throw new Error(`status ${response.status}`);
  const reader = response.body.getReader();
  const ogg = new OggPackets();
  let numSeen = 0;
  let startMs = 1000 * startSec;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const packets = ogg.push(value);
    if (numSeen === 0 && packets.length > 0) await append(buffer, webmHead(packets[0]));
    const sound = packets.slice(Math.max(0, NUM_HEADERS - numSeen));
    numSeen += packets.length;
    if (sound.length === 0) continue;
    await append(buffer, cluster(sound, startMs));
    startMs += sound.reduce((sum, packet) => sum + packetMs(packet), 0);
  }
  if (media.readyState === "open") media.endOfStream();
}

/** @param {SourceBuffer} buffer @param {Uint8Array} bytes */
function append(buffer, bytes) {
  return new Promise((resolve, reject) => {
    buffer.addEventListener("updateend", resolve, { once: true });
    buffer.addEventListener("error", reject, { once: true });
    buffer.appendBuffer(/** @type {BufferSource} */ (bytes));
  });
}
