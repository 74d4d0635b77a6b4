/**
 * What the page uses of the answers of the API. A test compares every name with /openapi.json
 * (tests/api/test_studio_client.py).
 */

export interface LevelProgress {
  level: string;
  tokens_done: number;
  tokens_total: number;
}

export interface Progress {
  value: number;
  level: string | null;
  levels: LevelProgress[];
}

export interface Output {
  level: string;
  sample: number;
  url: string;
  format: string;
  duration_seconds: number;
  sample_rate_hz: number;
  bytes: number;
}

export interface Warning {
  code: string;
  pointer: string;
  detail: string;
}

export interface JobError {
  code: string;
  message: string;
  retryable: boolean;
}

export interface JobUrls {
  self: string;
  audio: string;
  codes: string;
  alignment: string;
  lyrics: string;
  live: string;
  peaks: string;
  spectrogram: string;
  archive: string;
}

export interface LevelSampling {
  temperature: number;
  top_k: number;
  top_p: number;
}

export interface JobInput {
  mode: string;
  model: string;
  artist: string;
  genre: string;
  lyrics: string;
  duration_seconds: number | null;
  num_samples: number;
  levels: string[];
  seed: number | null;
  speed: string;
  audio_format: string;
  sample: number | null;
  cut_seconds: number | null;
  sampling: Record<string, LevelSampling>;
  channels: number;
}

export interface SongPart {
  source: string;
  sample: number;
  start_seconds: number;
  end_seconds: number;
  position_seconds: number;
}

export interface Job {
  id: string;
  status: string;
  stage: string;
  created_at: string;
  started_at: string | null;
  completed_at: string | null;
  expires_at: string | null;
  queue_position: number | null;
  eta_seconds: number | null;
  progress: Progress;
  duration_seconds: number;
  parent_id: string | null;
  root_id: string;
  outputs: Output[];
  warnings: Warning[];
  seed: number;
  attempt: number;
  error: JobError | null;
  urls: JobUrls;
  input: JobInput;
  title: string | null;
  tags: string[];
  favorite: boolean;
  notes: string | null;
  deleted_at: string | null;
  parent_ids: string[];
  parts: SongPart[] | null;
  lyrics_as_read: string | null;
}

export interface ModelLimits {
  min_duration_seconds: number;
  max_duration_seconds: number;
  max_song_duration_seconds: number;
}

export interface ModelLevel {
  level: string;
  default_hop_fraction: number;
}

export interface Model {
  name: string;
  state: string;
  description: string;
  licence: string;
  reads_lyrics: boolean;
  levels: ModelLevel[];
  limits: ModelLimits | null;
  bytes: number;
  memory_bytes: number | null;
  estimated_seconds_per_second_of_music: number | null;
  estimated_seconds_per_second_in_parallel: number | null;
  error: string | null;
}

export interface Worker {
  name: string;
  device: string;
  models: string[];
  model_setups: Record<string, string>;
  stages: string[];
  seen_at: string;
}

export interface System {
  version: string;
  workers: Worker[];
  jobs: Record<string, number>;
  disk: Disk | null;
}

export interface Disk {
  free_bytes: number;
  total_bytes: number;
  reserved_bytes: number;
}

export interface LyricsWord {
  text: string;
  first_character: number;
  start_seconds: number;
  end_seconds: number;
  fits: boolean;
}

export interface Lyrics {
  text: string | null;
  words: LyricsWord[];
  seconds_needed: number | null;
  sung: string | null;
  left: string | null;
  next: string | null;
}
