// @ts-check
// The service itself: its workers and how much it has to do.
import { signal, useEffect } from "./html.js";
import { Problem, call } from "./client.js";

const EVERY_MS = 5000;

/** @type {{value: import("../../types").System | null}} */
export const system = signal(null);

let users = 0;
let timer = 0;

/** Workers that are there, kept up to date while a component uses them; null while unknown. */
export function useWorkers() {
  return useSystem()?.workers ?? null;
}

/** The state of the service, kept up to date while a component uses it; null while unknown. */
export function useSystem() {
  useEffect(() => {
    users += 1;
    if (users === 1) void ask();
    return () => {
      users -= 1;
      if (users === 0) clearTimeout(timer);
    };
  }, []);
  return system.value;
}

async function ask() {
  try {
    system.value = await call("getSystem");
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
  }
  if (users > 0) timer = window.setTimeout(ask, EVERY_MS);
}
