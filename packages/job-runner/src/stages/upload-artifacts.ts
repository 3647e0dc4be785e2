import { hasArtifactsToUpload, uploadArtifacts as upload } from "../artifacts/index.ts";
import type { PreparedJob } from "../job-context.ts";
import { collectFiles } from "./collect-files.ts";
import { withHostPaths } from "./host-paths.ts";
import { inStage } from "./stage.ts";
import { stageEnvironment } from "./stage-environment.ts";

/** Uploads the artifacts that fit the outcome. Unlike a cache, an artifact that cannot be uploaded fails the job. */
export async function uploadArtifacts(job: PreparedJob, succeeded: boolean): Promise<void> {
  const { artifacts } = job.payload;
  if (job.runner.url === "" || !hasArtifactsToUpload(artifacts, succeeded)) return;
  const stage = succeeded
    ? { id: "upload_artifacts_on_success", heading: "Uploading artifacts for successful job" }
    : { id: "upload_artifacts_on_failure", heading: "Uploading artifacts for failed job" };
  const signal = job.signals.job;
  await inStage(job, stage, async () => {
    await collectFiles(job, artifacts);
    const { project, temporary } = job.environment.workspace.directories;
    await upload({
      artifacts: withHostPaths(job, artifacts),
      succeeded,
      projectDirectory: project,
      temporaryDirectory: temporary,
      environment: await stageEnvironment(job),
      upload: (file) => job.client.uploadArtifacts(job.credentials, file, { signal }),
      log: job.log,
      signal,
    });
  });
}
