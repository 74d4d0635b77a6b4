// @ts-check
// Opus packets out of an Ogg stream (RFC 3533, RFC 7845) and into WebM (RFC 9559), which is what
// browsers play from memory. Nothing is decoded.

const MAGIC = [0x4f, 0x67, 0x67, 0x53];
const HEADER_BYTES = 27;
const UNKNOWN_SIZE = [0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
const SILK_MS = [10, 20, 40, 60];
const HYBRID_MS = [10, 20];
const CELT_MS = [2.5, 5, 10, 20];
const SEEK_PREROLL_NS = 80_000_000;
const NS_PER_SAMPLE = 1e9 / 48000;

/** Takes an Ogg stream in pieces of any size. */
export class OggPackets {
  #held = new Uint8Array(0);
  /** @type {Uint8Array[]} */
  #partial = [];

  /**
   * The packets that are complete with this piece.
   *
   * @param {Uint8Array} piece
   * @returns {Uint8Array[]}
   * @throws {Error} it is no Ogg stream
   */
  push(piece) {
    const bytes = joined([this.#held, piece]);
    /** @type {Uint8Array[]} */
    const packets = [];
    let at = 0;
    for (;;) {
      const page = pageAt(bytes, at);
      if (!page) break;
      this.#take(bytes, page, packets);
      at = page.end;
    }
    this.#held = bytes.slice(at);
    return packets;
  }

  /**
   * @param {Uint8Array} bytes
   * @param {{lacing: Uint8Array, start: number}} page
   * @param {Uint8Array[]} packets
   */
  #take(bytes, { lacing, start }, packets) {
    let at = start;
    for (const size of lacing) {
      this.#partial.push(bytes.slice(at, at + size));
      at += size;
      // A segment of 255 bytes goes on in the next.
      if (size < 255) {
        packets.push(joined(this.#partial));
        this.#partial = [];
      }
    }
  }
}

/** The page that begins at a byte; null if it is not there as a whole. @param {Uint8Array} bytes @param {number} at */
function pageAt(bytes, at) {
  if (bytes.length < at + HEADER_BYTES) return null;
  if (MAGIC.some((value, place) => bytes[at + place] !== value)) throw new Error("no Ogg page");
  const start = at + HEADER_BYTES + bytes[at + 26];
  if (bytes.length < start) return null;
  const lacing = bytes.slice(at + HEADER_BYTES, start);
  const end = start + lacing.reduce((sum, size) => sum + size, 0);
  return bytes.length < end ? null : { lacing, start, end };
}

/** How much sound is in a packet. @param {Uint8Array} packet */
export function packetMs(packet) {
  const config = packet[0] >> 3;
  const code = packet[0] & 3;
  const frames = code === 3 ? packet[1] & 0x3f : Math.min(code, 1) + 1;
  if (config < 12) return frames * SILK_MS[config & 3];
  if (config < 16) return frames * HYBRID_MS[config & 1];
  return frames * CELT_MS[config & 3];
}

/** The beginning of a WebM stream. @param {Uint8Array} opusHead the first packet */
export function webmHead(opusHead) {
  const preSkip = opusHead[10] + 256 * opusHead[11];
  const track = element([0xae], [
    element([0xd7], [[1]]), element([0x73, 0xc5], [[1]]), element([0x83], [[2]]),
    element([0x86], [text("A_OPUS")]), element([0x63, 0xa2], [opusHead]),
    element([0x56, 0xaa], [number(Math.round(preSkip * NS_PER_SAMPLE))]),
    element([0x56, 0xbb], [number(SEEK_PREROLL_NS)]),
    element([0xe1], [element([0xb5], [float(48000)]), element([0x9f], [[opusHead[9]]])]),
  ]);
  return joined([
    element([0x1a, 0x45, 0xdf, 0xa3], [
      element([0x42, 0x86], [[1]]), element([0x42, 0xf7], [[1]]), element([0x42, 0xf2], [[4]]),
      element([0x42, 0xf3], [[8]]), element([0x42, 0x82], [text("webm")]),
      element([0x42, 0x87], [[4]]), element([0x42, 0x85], [[2]]),
    ]),
    Uint8Array.from([0x18, 0x53, 0x80, 0x67, ...UNKNOWN_SIZE]),
    element([0x15, 0x49, 0xa9, 0x66], [
      element([0x2a, 0xd7, 0xb1], [number(1_000_000)]), element([0x4d, 0x80], [text("jukebox")]),
      element([0x57, 0x41], [text("jukebox")]),
    ]),
    element([0x16, 0x54, 0xae, 0x6b], [track]),
  ]);
}

/** Packets as a cluster that begins at a time. @param {Uint8Array[]} packets @param {number} startMs */
export function cluster(packets, startMs) {
  let at = 0;
  const blocks = packets.map((packet) => {
    const offset = Math.round(at);
    at += packetMs(packet);
    return element([0xa3], [[0x81, offset >> 8, offset & 0xff, 0x80], packet]);
  });
  return element([0x1f, 0x43, 0xb6, 0x75], [element([0xe7], [number(Math.round(startMs))]), ...blocks]);
}

/** @param {number[]} id @param {ArrayLike<number>[]} parts */
function element(id, parts) {
  const body = joined(parts);
  return joined([id, [0x01, ...number(body.length, 7)], body]);
}

/** Big-endian. @param {number} value @param {number} numBytes */
function number(value, numBytes = 6) {
  const bytes = [];
  for (let place = numBytes - 1; place >= 0; place -= 1) {
    bytes.push(Math.floor(value / 256 ** place) % 256);
  }
  return bytes;
}

/** @param {number} value */
function float(value) {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return new Uint8Array(view.buffer);
}

/** @param {string} word */
function text(word) {
  return new TextEncoder().encode(word);
}

/** @param {ArrayLike<number>[]} parts */
function joined(parts) {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
