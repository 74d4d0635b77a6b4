// @ts-check
// Who uses the page. With API keys the browser gets a cookie that scripts cannot read; the key
// itself is sent once, in a header, and kept nowhere.
import { signal } from "./html.js";
import { call, onKeyNeeded } from "./client.js";

/**
 * @typedef {object} Session
 * @property {"unknown" | "open" | "key_needed"} state
 * @property {string | null} owner id of the API key; null where none is needed
 * @property {string[]} scopes
 * @property {string | null} expiresAt
 */

/** @type {{value: Session}} */
export const session = signal({ state: told(), owner: null, scopes: [], expiresAt: null });

/** What the page says of itself: a service with keys asks for one before the first request. */
function told() {
  const meta = document.querySelector("meta[name=session]")?.getAttribute("content");
  return meta === "key_needed" ? "key_needed" : "unknown";
}

/** Ask the service who we are. @throws {import("./client.js").Problem} */
export async function loadSession() {
  take(await call("getSession"));
}

/** Exchange a key for a session. @param {string} key @throws {import("./client.js").Problem} */
export async function signIn(key) {
  take(await call("openSession", { headers: { Authorization: `Bearer ${key.trim()}` } }));
}

/** End the session. @throws {import("./client.js").Problem} */
export async function signOut() {
  await call("closeSession");
  session.value = { ...session.value, state: "key_needed" };
}

/** Whether this key may make and change songs. */
export function maySubmit() {
  return session.value.scopes.includes("submit") || session.value.scopes.includes("admin");
}

/** @param {{owner: string | null, scopes: string[], expires_at: string | null}} view */
function take(view) {
  session.value = {
    state: "open", owner: view.owner, scopes: view.scopes, expiresAt: view.expires_at,
  };
}

onKeyNeeded(() => {
  if (session.value.state !== "key_needed") {
    session.value = { ...session.value, state: "key_needed" };
  }
});
