// @ts-check
// The HTTP client: the one place that sends requests. Errors are Problems; a service that cannot be
// reached is noted in `connection`.
import { connectionIsBack, connectionIsLost } from "./connection.js";
import { OPERATIONS } from "./operations.js";

/** The address of the service, with the prefix of a proxy and a slash at the end. */
export const SERVICE_URL = new URL("../../../", import.meta.url);

/** An error of the service: a problem document (RFC 9457). */
export class Problem extends Error {
  /**
   * @param {number} status 0 if the service could not be reached
   * @param {string} code stable, for programs
   * @param {string} detail for people
   * @param {{pointer: string, detail: string}[]} fields what is wrong with which field
   * @param {number | null} retryAfterSec
   */
  constructor(status, code, detail, fields = [], retryAfterSec = null) {
    super(detail);
    this.status = status;
    this.code = code;
    this.fields = fields;
    this.retryAfterSec = retryAfterSec;
  }

  /** In words for people: of one field without its name, because the field is in sight. */
  get words() {
    return this.fields[0]?.detail ?? this.message;
  }

  /** What is wrong with the field of this name, or null. @param {string} name */
  of(name) {
    const at = this.fields.find(
      ({ pointer }) => pointer === `/${name}` || pointer.startsWith(`/${name}/`),
    );
    return at?.detail ?? null;
  }
}

/** @type {Set<() => void>} */
const keyListeners = new Set();

/** Call `listener` when the service asks for a key. @param {() => void} listener */
export function onKeyNeeded(listener) {
  keyListeners.add(listener);
}

/**
 * @typedef {object} RequestParts
 * @property {Record<string, string>} [path] values for the names in the path
 * @property {Record<string, string | number | boolean | null | undefined>} [query]
 * @property {unknown} [json] the body
 * @property {FormData} [form] the body, instead of `json`
 * @property {Record<string, string>} [headers]
 * @property {AbortSignal} [signal]
 */

/**
 * The URL of an operation.
 *
 * @param {string} operation operationId
 * @param {RequestParts} [parts]
 */
export function urlOf(operation, { path = {}, query = {} } = {}) {
  const entry = OPERATIONS[operation];
  if (!entry) throw new Error(`no operation ${operation}`);
  const filled = entry[1].replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(path[name] ?? ""));
  const url = new URL(filled.slice(1), SERVICE_URL);
  for (const [name, value] of Object.entries(query)) {
    if (value !== null && value !== undefined && value !== "") {
      url.searchParams.set(name, String(value));
    }
  }
  return url;
}

/**
 * Send a request and return the JSON of its answer (null without a body).
 *
 * @param {string} operation operationId
 * @param {RequestParts} [parts]
 * @returns {Promise<any>}
 * @throws {Problem} the service refused, or could not be reached
 */
export async function call(operation, parts = {}) {
  const response = await send(operation, parts);
  if (response.status === 204) return null;
  return response.json();
}

/**
 * Send a request and return the response, whose body has not been read.
 *
 * @param {string} operation
 * @param {RequestParts} [parts]
 * @throws {Problem}
 */
export async function send(operation, parts = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json", ...parts.headers };
  let body = parts.form;
  if (parts.json !== undefined) {
    headers["Content-Type"] = "application/json";
    body = /** @type {any} */ (JSON.stringify(parts.json));
  }
  const url = urlOf(operation, parts);
  try {
    // A header with other letters is no request: the service would seem to be away.
    new Headers(headers);
  } catch {
    throw new Problem(422, "header_invalid", "Letters that no key has: check it for typing errors.");
  }
  let response;
  try {
    response = await fetch(url, {
      method: OPERATIONS[operation][0],
      headers,
      body,
      signal: parts.signal,
      credentials: "same-origin",
    });
  } catch (error) {
    if (parts.signal?.aborted) throw error;
    connectionIsLost();
    throw new Problem(0, "connection_lost", "The service cannot be reached.");
  }
  connectionIsBack();
  if (response.ok) return response;
  const problem = await problemOf(response);
  if (response.status === 401 && operation !== "openSession") {
    for (const listener of keyListeners) listener();
  }
  throw problem;
}

/** @param {Response} response */
async function problemOf(response) {
  const retryAfter = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
  const seconds = Number.isNaN(retryAfter) ? null : retryAfter;
  try {
    const { code, detail, errors } = await response.json();
    return new Problem(response.status, String(code), String(detail), errors ?? [], seconds);
  } catch {
    // A proxy answered in the service's place.
    const detail = `The service answered ${response.status} ${response.statusText}.`;
    return new Problem(response.status, "no_problem_document", detail, [], seconds);
  }
}

/** A key that makes a request safe to repeat. */
export function idempotencyKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
