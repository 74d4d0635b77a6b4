// Compiled against what openapi-typescript makes of /openapi.json, and run: makes a song, follows it, fetches it.
import type { components, operations } from "./api";

declare const process: { argv: string[] };

type Schemas = components["schemas"];
type Sound = operations["downloadAudio"]["responses"][200]["content"]["audio/wav"];
type Stream = operations["streamJobEvents"]["responses"][200]["content"]["text/event-stream"];

// What has a default need not be sent, and null means the default.
const song: Schemas["AncestralBody"] = {
  model: "tiny",
  artist: "orlavane",
  duration_seconds: 2,
  lyrics: null,
  sampling: { top: { temperature: 0.98 } },
};

// @ts-expect-error the length has no default
const endless: Schemas["AncestralBody"] = { model: "tiny", artist: "orlavane" };

// @ts-expect-error a field of another type
const loud: Schemas["AncestralBody"] = { ...song, num_samples: "two" };

// What is returned is complete: no field may be missing, some may be null.
function lastSound(job: Schemas["JobView"]): string | null {
  const takes: number = job.input.num_samples;
  const temperature: number = job.input.sampling.top.temperature;
  const ended: string | null = job.completed_at;
  return takes > 0 && temperature > 0 && ended !== "" ? (job.outputs.at(-1)?.sha256 ?? null) : null;
}

// The data of events has types of its own.
function progressOf(kind: string, data: string): number | null {
  if (kind === "progress") {
    const event: Schemas["ProgressEvent"] = JSON.parse(data);
    return event.levels.top?.tokens_done ?? event.value;
  }
  if (kind === "status") {
    const event: Schemas["StatusEvent"] = JSON.parse(data);
    return event.status === "succeeded" ? event.job.progress.value : null;
  }
  return null;
}

async function main(url: string): Promise<void> {
  const created = await fetch(`${url}/jobs`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(song),
  });
  const job: Schemas["JobView"] = await created.json();
  const stream: Stream = await (await fetch(`${url}/jobs/${job.id}/events`)).text();
  const kinds = [...stream.matchAll(/^event: (\w+)\ndata: (.*)$/gm)];
  const seen = kinds.map((found) => progressOf(found[1], found[2]));
  const done: Schemas["JobView"] = await (await fetch(`${url}/jobs/${job.id}`)).json();
  const sound: Sound = await (await fetch(`${url}/jobs/${job.id}/audio`)).text();
  console.log(JSON.stringify({ id: job.id, seen, sha256: lastSound(done), sound }));
}

await main(process.argv[2]);
void [endless, loud];
