// @ts-check
// Every operation of the HTTP API that the page uses: operationId, method, path. A test compares
// this table with /openapi.json (tests/api/test_studio_client.py), so keep one entry to a line.

/** @type {Record<string, readonly [method: string, path: string]>} */
export const OPERATIONS = {
  listJobs: ["GET", "/jobs"],
  createJob: ["POST", "/jobs"],
  getJob: ["GET", "/jobs/{job_id}"],
  deleteJob: ["DELETE", "/jobs/{job_id}"],
  updateJob: ["PATCH", "/jobs/{job_id}"],
  restoreJob: ["POST", "/jobs/{job_id}/restore"],
  cancelJob: ["POST", "/jobs/{job_id}/cancel"],
  retryJob: ["POST", "/jobs/{job_id}/retry"],
  getLyrics: ["GET", "/jobs/{job_id}/lyrics"],
  downloadAlignment: ["GET", "/jobs/{job_id}/alignment"],
  createAsset: ["POST", "/assets"],
  deleteAsset: ["DELETE", "/assets/{asset_id}"],
  listModels: ["GET", "/models"],
  searchArtists: ["GET", "/models/{name}/artists"],
  searchGenres: ["GET", "/models/{name}/genres"],
  previewLyrics: ["GET", "/models/{name}/lyrics-preview"],
  openSession: ["POST", "/session"],
  getSession: ["GET", "/session"],
  closeSession: ["DELETE", "/session"],
  getSystem: ["GET", "/system"],
  streamEvents: ["GET", "/events"],
};
