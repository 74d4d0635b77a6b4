// @ts-check
// Sound from the microphone and from files, as the browser hears it.

const RATE_HZ = 44100;

/**
 * Decode a file, for its picture. Null for formats that this browser cannot decode; the service may.
 *
 * @param {Blob} blob
 * @returns {Promise<AudioBuffer | null>}
 */
export async function decoded(blob) {
  try {
    return await new OfflineAudioContext(1, 1, RATE_HZ).decodeAudioData(await blob.arrayBuffer());
  } catch {
    return null;
  }
}

/** Loudest sample of each of `points` parts. @param {AudioBuffer} sound @param {number} points */
export function peaksOf(sound, points) {
  const samples = sound.getChannelData(0);
  const step = Math.max(1, Math.floor(samples.length / points));
  const peaks = new Float32Array(Math.min(points, samples.length));
  for (let point = 0; point < peaks.length; point += 1) {
    let peak = 0;
    for (let at = point * step; at < (point + 1) * step && at < samples.length; at += 1) {
      peak = Math.max(peak, Math.abs(samples[at]));
    }
    peaks[point] = peak;
  }
  return peaks;
}

/**
 * Record until `stop` is called.
 *
 * @returns {Promise<{stop: () => Promise<File>}>}
 * @throws {Error} no microphone, or no permission; the message says what to do
 */
export async function record() {
  const stream = await microphone();
  const recorder = new MediaRecorder(stream);
  /** @type {Blob[]} */
  const parts = [];
  recorder.addEventListener("dataavailable", ({ data }) => parts.push(data));
  recorder.start();
  const stop = async () => {
    const ended = new Promise((resolve) => recorder.addEventListener("stop", resolve, { once: true }));
    recorder.stop();
    await ended;
    for (const each of stream.getTracks()) each.stop();
    const sound = await decoded(new Blob(parts, { type: recorder.mimeType }));
    if (!sound) throw new Error("The recording could not be read.");
    return new File([wavOf(sound)], "recording.wav", { type: "audio/wav" });
  };
  return { stop };
}

async function microphone() {
  if (!navigator.mediaDevices) {
    throw new Error("Browsers give the microphone only to pages with an address that begins with https:// or http://localhost.");
  }
  try {
    return await navigator.mediaDevices.getUserMedia({
      audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
    });
  } catch (error) {
    const { name } = /** @type {DOMException} */ (error);
    if (name === "NotAllowedError") throw new Error("The browser does not allow the microphone. Allow it for this page, and try again.");
    if (name === "NotFoundError") throw new Error("No microphone was found.");
    throw error;
  }
}

/** A WAV file of the first channel with 16 bits, which every service reads. @param {AudioBuffer} sound */
function wavOf(sound) {
  const samples = sound.getChannelData(0);
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const text = (/** @type {number} */ at, /** @type {string} */ word) => {
    [...word].forEach((letter, place) => view.setUint8(at + place, letter.charCodeAt(0)));
  };
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * samples.length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, sound.sampleRate, true);
  view.setUint32(28, 2 * sound.sampleRate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((value, place) => {
    view.setInt16(44 + 2 * place, Math.round(Math.max(-1, Math.min(1, value)) * 32767), true);
  });
  return view.buffer;
}
