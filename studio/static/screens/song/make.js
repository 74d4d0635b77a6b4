// @ts-check
// What makes a version of a song and goes to it.
import { useRef, useState } from "../../lib/html.js";
import { Problem } from "../../lib/client.js";
import { createJob } from "../../lib/jobs.js";
import { go, hrefOf } from "../../lib/router.js";

/** @typedef {(body: object) => Promise<void>} Make */

/** One version at a time, however often its button is pressed. @param {() => void} [onMade] */
export function useMake(onMade = () => {}) {
  const [error, setError] = useState("");
  const isSending = useRef(false);
  /** @type {Make} */
  const make = async (body) => {
    if (isSending.current) return;
    isSending.current = true;
    setError("");
    try {
      const made = await createJob(body);
      onMade();
      go(hrefOf("songs", made.id));
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      setError(problem.words);
    } finally {
      isSending.current = false;
    }
  };
  return { make, error };
}
