// @ts-check
// What this browser remembers. Without storage (private windows, full disks) nothing is remembered,
// and nothing fails.

/**
 * @param {string} key
 * @param {Storage} [storage]
 * @returns {any} what was stored, or null
 */
export function recall(key, storage = localStorage) {
  try {
    const text = storage.getItem(`jukebox.${key}`);
    return text === null ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * @param {string} key
 * @param {unknown} value null forgets it
 * @param {Storage} [storage]
 */
export function remember(key, value, storage = localStorage) {
  try {
    if (value === null) storage.removeItem(`jukebox.${key}`);
    else storage.setItem(`jukebox.${key}`, JSON.stringify(value));
  } catch {
    // See above.
  }
}
