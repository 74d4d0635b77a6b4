// @ts-check
// A new song: what to sing, how long, and from what.
import { html, useEffect, useState } from "../lib/html.js";
import { Problem } from "../lib/client.js";
import { reloads } from "../lib/events.js";
import { counted } from "../lib/format.js";
import { createJob } from "../lib/jobs.js";
import { loadModels, modelNamed, models, readyModels } from "../lib/models.js";
import { MAX_TAKES, bodyOf, emptyForm, form, isUnused, mistakesIn, suggest } from "../lib/new_song.js";
import { playWhenReady } from "../lib/autoplay.js";
import { go, hrefOf } from "../lib/router.js";
import { maySubmit } from "../lib/session.js";
import { NameCombobox } from "../components/combobox.js";
import { Field, Notice, NumberField, goToMistake } from "../components/controls.js";
import { Icon } from "../components/icon.js";
import { attempt, say } from "../components/toasts.js";
import { Advanced } from "./new/advanced.js";
import { LyricsEditor } from "./new/lyrics_editor.js";
import { StartFromSound } from "./new/start_from_sound.js";

/** @param {Partial<import("../lib/new_song.js").Form>} values */
export function change(values) {
  form.value = { ...form.value, ...values };
}

/** The screen. */
export function NewSong() {
  const [problem, setProblem] = useState(/** @type {Problem | null} */ (null));
  const [isSending, setSending] = useState(false);
  const [isAsked, setAsked] = useState(false);
  useEffect(() => {
    document.title = "New song – Jukebox";
    void attempt(loadModels).finally(() => setAsked(true));
  }, [reloads.value]);
  useEffect(() => {
    // The first field that is wrong, which may be out of sight.
    if (problem) goToMistake(".new-form");
  }, [problem]);
  const model = modelNamed(form.value.model);
  const isSuggested = useSuggestion(model?.name ?? "");
  const isReady = isSuggested || (isAsked && !model);
  if (models.value && !model) return html`<${NoModel} />`;
  const submit = async (/** @type {boolean} */ isDraft) => {
    if (isSending) return;
    const mistakes = mistakesIn(form.value, model?.limits);
    if (mistakes.length > 0) {
      setProblem(new Problem(422, "mistakes", "", mistakes));
      return;
    }
    setSending(true);
    setProblem(null);
    try {
      const job = await createJob(bodyOf(form.value, { model: model?.name ?? "", isDraft }));
      if (!isDraft) playWhenReady(job.id);
      if (!form.value.isSeedLocked) change({ seed: job.seed });
      go(hrefOf("songs", job.id));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      setProblem(error);
    } finally {
      setSending(false);
    }
  };
  const press = (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    void submit(/** @type {HTMLButtonElement | null} */ (event.submitter)?.value === "draft");
  };
  return html`<div class="screen screen-new">
    <div class="screen-head"><h1>New song</h1>
      <div class="screen-tools">
        <button type="button" disabled=${!model} onClick=${() => model && attempt(() => suggest(model.name, { isRandom: true }))}>
          <${Icon} name="dice" />Surprise me</button>
        <button type="button" class="quiet" onClick=${startOver}>Start over</button></div></div>
    <form class="new-form" onSubmit=${press} novalidate hidden=${!isReady}>
      <div class="new-main">
        <div class="new-voice">
          <${NameCombobox} label="Artist" operation="searchArtists" model=${model?.name ?? ""}
            value=${form.value.artist} onValue=${(/** @type {string} */ artist) => change({ artist })}
            error=${problem?.of("artist")} />
          <${NameCombobox} label="Genre" operation="searchGenres" model=${model?.name ?? ""}
            value=${form.value.genre} onValue=${(/** @type {string} */ genre) => change({ genre })}
            error=${problem?.of("genre")} />
        </div>
        <${LyricsEditor} model=${model} error=${problem?.of("lyrics")} />
        <${StartFromSound} error=${problem?.of("prompt")} />
      </div>
      <div class="new-side">
        <${Measures} model=${model} problem=${problem} />
        <${General} problem=${problem} />
        <div class="new-actions">
          <button type="submit" class="primary large" value="full" disabled=${!maySubmit() || !model}
            aria-disabled=${String(isSending)}>Sing it</button>
          <button type="submit" class="large" value="draft" disabled=${!maySubmit() || !model}
            aria-describedby="about-drafts" aria-disabled=${String(isSending)}>Draft</button>
          <p class="hint" id="about-drafts">Drafts are quick and rough: try several, and refine the best one.</p>
        </div>
        <${Advanced} model=${model} problem=${problem} />
      </div>
    </form>
  </div>`;
}

/** @param {{model: import("../../types").Model | null, problem: Problem | null}} props */
function Measures({ model, problem }) {
  const limits = model?.limits;
  const choices = readyModels.value;
  return html`<div class="measures">
    <${NumberField} label="Length" unit="seconds" value=${form.value.lengthSec} step="any"
      min=${limits?.min_duration_seconds ?? 0} max=${limits?.max_duration_seconds ?? 600}
      onValue=${(/** @type {number} */ lengthSec) => change({ lengthSec })}
      error=${problem?.of("duration_seconds")} />
    <${NumberField} label="Takes" value=${form.value.takes} min=${1} max=${MAX_TAKES}
      onValue=${(/** @type {number} */ takes) => change({ takes })} error=${problem?.of("num_samples")} />
    ${choices.length > 1 ? html`<${Field} label="Model" hint=${model?.description ?? ""} error=${problem?.of("model")}>
      ${(/** @type {any} */ { id, describedBy }) => html`<select id=${id} aria-describedby=${describedBy}
        value=${model?.name} onChange=${(/** @type {any} */ event) => change({ model: event.currentTarget.value })}>
        ${choices.map(({ name }) => html`<option key=${name} value=${name}>${name}</option>`)}
      </select>`}<//>` : null}
  </div>`;
}

const SHOWN_AT_FIELDS = ["artist", "genre", "lyrics", "prompt", "duration_seconds", "num_samples", "model", "seed", "sampling"];

/** What is wrong with no single field. @param {{problem: Problem | null}} props */
function General({ problem }) {
  if (!problem || problem.status === 0) return null;
  const rest = problem.fields.filter(({ pointer }) => !SHOWN_AT_FIELDS.includes(pointer.split("/")[1]));
  if (problem.fields.length > 0 && rest.length === 0) return null;
  const title = problem.status === 507 ? "The disk of the service is full" : "This song was not accepted";
  return html`<${Notice} title=${title} kind="bad" role="alert">
    <p>${rest.length > 0 ? rest.map(({ detail }) => detail).join(" ") : problem.message}</p><//>`;
}

function NoModel() {
  return html`<div class="screen"><div class="screen-head"><h1>New song</h1></div>
    <${Notice} title="No model can sing here" kind="bad">
      <p>The operator can fetch one with <code>jukebox models pull NAME</code>. See the ${" "}
      <a href=${hrefOf("settings")}>list of ${counted(models.value?.length ?? 0, "model")}</a>.</p><//></div>`;
}

function startOver() {
  const before = form.value;
  form.value = emptyForm();
  say("The form is empty.", { label: "Undo", run: () => { form.value = before; } });
}

/**
 * A song needs no knowledge of names: a form that was never used begins with a voice and a few words,
 * so that one press makes a song. False until it has them.
 *
 * @param {string} model
 */
function useSuggestion(model) {
  const [isTried, setTried] = useState(!isUnused());
  useEffect(() => {
    if (!model || isTried) return;
    void attempt(() => suggest(model)).finally(() => setTried(true));
  }, [model, isTried]);
  return isTried;
}
