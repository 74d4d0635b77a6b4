// @ts-check
// Server-sent events from a fetch, which (unlike EventSource) shows the status of an answer.

/**
 * @typedef {object} ServerEvent
 * @property {string} event
 * @property {string} id
 * @property {string} data
 */

/**
 * Read a stream to its end.
 *
 * @param {ReadableStream<Uint8Array>} stream
 * @param {(event: ServerEvent) => void} take
 * @param {() => void} [heard] called for every piece, comments included
 */
export async function readEvents(stream, take, heard = () => {}) {
  const decoder = new TextDecoder();
  const reader = stream.getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    heard();
    rest += decoder.decode(value, { stream: true }).replaceAll("\r\n", "\n");
    const blocks = rest.split("\n\n");
    rest = blocks.pop() ?? "";
    for (const block of blocks) {
      const event = parse(block);
      if (event) take(event);
    }
  }
}

/** @param {string} block @returns {ServerEvent | null} */
function parse(block) {
  const found = { event: "message", id: "", data: "" };
  let hasData = false;
  for (const line of block.split("\n")) {
    const [, name, value] = /^(event|id|data): ?(.*)$/.exec(line) ?? [];
    if (name === "data") {
      found.data += (hasData ? "\n" : "") + value;
      hasData = true;
    } else if (name === "event") found.event = value;
    else if (name === "id") found.id = value;
  }
  return hasData ? found : null;
}
