import { Secret } from "@fleetfoot/coordinator-client";

import { downloadArtifacts as download, hasArtifactsToDownload } from "../artifacts/index.ts";
import type { PreparedJob } from "../job-context.ts";
import { withRetries } from "./retry.ts";
import { inStage } from "./stage.ts";

/** Gets the artifacts of the jobs that this one depends on. */
export async function downloadArtifacts(job: PreparedJob): Promise<void> {
  const { dependencies } = job.payload;
  if (!hasArtifactsToDownload(dependencies)) return;
  const signal = job.signals.job;
  const { project, temporary } = job.environment.workspace.directories;
  await withRetries(job, { attempts: job.plan.settings.artifactDownloadAttempts, signal }, () =>
    inStage(job, { id: "download_artifacts", heading: "Downloading artifacts" }, () =>
      download({
        dependencies,
        projectDirectory: project,
        temporaryDirectory: temporary,
        download: (dependency, file) =>
          job.client.downloadArtifactsToFile({ id: dependency.id, token: new Secret(dependency.token) }, file, {
            signal,
          }),
        log: job.log,
        signal,
      }),
    ),
  );
}
