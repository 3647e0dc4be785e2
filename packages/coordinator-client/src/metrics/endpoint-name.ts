/** What dashboards call an endpoint: the runner's calls by their usual names, any other by its path. */
export function endpointName(method: string, path: string): string {
  return NAMES[`${method} ${path}`] ?? path;
}

const NAMES: Readonly<Record<string, string>> = {
  "POST jobs/request": "request_job",
  "PUT jobs/{id}": "update_job",
  "PATCH jobs/{id}/trace": "patch_trace",
  "POST jobs/{id}/artifacts": "upload_artifacts",
  "GET jobs/{id}/artifacts": "download_artifacts",
  "POST runners": "register_runner",
  "POST runners/verify": "verify_runner",
  "DELETE runners": "unregister_runner",
  "DELETE runners/managers": "unregister_runner_manager",
  "POST runners/reset_authentication_token": "reset_token",
  "POST runners/{id}/reset_authentication_token": "reset_token",
};
