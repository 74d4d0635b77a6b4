// @ts-check
// One song: hear it, choose a take, read along, and go on from it.
import { html, useEffect, useLayoutEffect, useState } from "../lib/html.js";
import { reloads } from "../lib/events.js";
import { bylineOf, clock, counted, moment, titleOf } from "../lib/format.js";
import { addKeys } from "../lib/keys.js";
import { annotate, jobSignal, loadJob } from "../lib/jobs.js";
import { LEVELS, isActive, outputOf, takesOf } from "../lib/outputs.js";
import { play } from "../lib/player.js";
import { go, hrefOf } from "../lib/router.js";
import { maySubmit } from "../lib/session.js";
import { chooseLevel, chooseTake, levelOf, songView } from "../lib/song_view.js";
import { Empty, IconButton, Notice } from "../components/controls.js";
import { Cover } from "../components/cover.js";
import { trash } from "../components/song_row.js";
import { attempt } from "../components/toasts.js";
import { About } from "./song/about.js";
import { Details } from "./song/details.js";
import { Downloads } from "./song/downloads.js";
import { EditTools } from "./song/edit_tools.js";
import { LyricsFollow } from "./song/lyrics_follow.js";
import { NextSteps } from "./song/next_steps.js";
import { Parents } from "./song/parents.js";
import { Stage } from "./song/stage.js";
import { Standing } from "./song/standing.js";
import { Takes } from "./song/takes.js";
import { Versions } from "./song/versions.js";

/** @param {{id: string}} props */
export function SongScreen({ id }) {
  const job = jobSignal(id).value;
  const count = reloads.value;
  const [error, setError] = useState("");
  const load = () => loadJob(id).then(() => setError(""), (problem) => setError(problem.message));
  useEffect(() => void load(), [id, count]);
  const title = job ? titleOf(job) : "Song";
  useEffect(() => {
    document.title = `${title} – Jukebox`;
  }, [title]);
  useSongKeys(id);
  if (job === undefined && error) return html`<div class="screen"><div class="screen-head"><h1>Song</h1></div>
    <${Notice} title="This song could not be loaded" kind="bad" role="alert"><p>${error}</p>
      <button type="button" onClick=${load}>Try again</button><//></div>`;
  if (job === undefined) return html`<div class="screen" aria-busy="true"><h1 class="visually-hidden">Song</h1></div>`;
  if (job === null) return html`<${Gone} />`;
  const hasSound = job.outputs.length > 0;
  return html`<div class="screen screen-song">
    <${Head} job=${job} />
    <div class="song-grid">
      <div class="song-main">
        <${Standing} job=${job} />
        ${hasSound ? html`<${Stage} job=${job} />` : null}
        <${Takes} job=${job} />
        <div class="song-work">
          <${LyricsFollow} job=${job} />
          <${EditTools} job=${job} />
        </div>
      </div>
      <div class="song-side">
        <${NextSteps} job=${job} />
        <${Versions} job=${job} />
        <${Parents} job=${job} />
        <${Downloads} job=${job} />
      </div>
      <div class="song-papers">
        <${About} job=${job} key=${job.id} />
        <${Details} job=${job} />
      </div>
    </div>
  </div>`;
}

/** @param {{job: import("../../types").Job}} props */
function Head({ job }) {
  const title = titleOf(job);
  const { favorite } = job;
  const remove = () => attempt(async () => {
    await trash(job, title);
    go(hrefOf("songs"));
  });
  return html`<header class="song-head">
    <${Cover} id=${job.root_id} />
    <div class="song-names">
      <p class="song-kind">${kindOf(job)}</p>
      <h1><bdi>${title}</bdi></h1>
      <p class="song-facts"><bdi>${bylineOf(job)}</bdi><span>${clock(job.duration_seconds)}</span>
        <span>${counted(job.input.num_samples, "take")}</span>
        <time datetime=${job.created_at}>${moment(job.created_at)}</time></p>
      ${job.tags.length > 0 ? html`<ul class="song-tags" aria-label="Tags of this song">${job.tags.map((tag) => html`<li key=${tag}>
        <a class="tag" href=${hrefOf("songs", "", { tag })}><bdi>${tag}</bdi></a></li>`)}</ul>` : null}
    </div>
    <div class="song-tools">
      ${maySubmit() ? html`<${IconButton} name="Favorite" icon="star" isPressed=${favorite}
        isFilled=${favorite} kind=${favorite ? "is-favorite" : ""}
        onClick=${() => attempt(() => annotate(job.id, { favorite: !favorite }))} />` : null}
      ${maySubmit() && !isActive(job) ? html`<${IconButton} name="Delete song" icon="trash" onClick=${remove} />` : null}
    </div>
  </header>`;
}

/** @param {import("../../types").Job} job */
function kindOf(job) {
  const words = {
    ancestral: "Song", primed: "From a recording", continue: "Continuation", upsample: "Refined",
    splice: "Spliced", redo: "Redone section",
  };
  return words[/** @type {keyof typeof words} */ (job.input.mode)] ?? "Song";
}

function Gone() {
  return html`<div class="screen"><div class="screen-head"><h1>Song not found</h1></div>
    <${Empty} title="This song is not here">
      <p>It was deleted, has expired, or belongs to another key. Deleted songs can be restored from the trash for a while.</p>
      <button type="button" onClick=${() => go(hrefOf("songs"))}>All songs</button>
    <//></div>`;
}

/** Keys for takes and levels. @param {string} id */
function useSongKeys(id) {
  // Before the screen is painted: a key works as soon as the button that it stands for is in sight.
  useLayoutEffect(() => {
    /** @type {Record<string, (key: string) => void>} */
    const keys = {
      l: () => {
        const job = jobSignal(id).value;
        if (job) nextLevel(job);
      },
      e: () => document.getElementById("continue-button")?.click(),
      r: () => document.getElementById("redo-button")?.click(),
    };
    for (let take = 1; take <= 9; take += 1) {
      keys[String(take)] = () => {
        const job = jobSignal(id).value;
        if (!job || !takesOf(job).includes(take - 1)) return;
        chooseTake(job, take - 1);
        play(job, { sample: take - 1, level: songView(id).level.value });
      };
    }
    return addKeys(keys);
  }, [id]);
}

/** @param {import("../../types").Job} job */
function nextLevel(job) {
  const there = LEVELS.filter((level) => outputOf(job, songView(job.id).sample.value, level));
  const present = levelOf(job);
  if (there.length < 2 || !present) return;
  const place = there.findIndex((level) => level === present);
  chooseLevel(job, there[(place + 1) % there.length]);
}
