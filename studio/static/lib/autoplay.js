// @ts-check
// A song that was just asked for plays as soon as there is something to hear.
import { onJob } from "./jobs.js";
import { canBeHeard, isActive } from "./outputs.js";
import { isPlaying, pause, play } from "./player.js";

let wantedId = "";

/** Play this job instead of what plays now, as soon as it sounds, unless something else is played by then. @param {string} id */
export function playWhenReady(id) {
  pause();
  wantedId = id;
}

onJob((job) => {
  if (job.id !== wantedId) return;
  if (canBeHeard(job) && !isPlaying.value) {
    wantedId = "";
    play(job, { atSec: 0 });
  } else if (isPlaying.value || !isActive(job)) wantedId = "";
});
