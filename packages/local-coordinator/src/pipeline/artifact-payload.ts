import type { JobArtifacts } from "@fleetfoot/ci-config";
import type { JobArtifact } from "@fleetfoot/coordinator-client";

import { artifactType } from "../artifacts/artifact-types.ts";

/**
 * What a runner uploads: the archive when the job names files for it, then each report as an upload of its own that is made
 * whatever the outcome.
 *
 * @see cache 6.1
 */
export function artifactPayload(artifacts: JobArtifacts | undefined): readonly JobArtifact[] {
  if (artifacts === undefined) return [];
  const expiry = artifacts.expireIn === undefined ? {} : { expire_in: artifacts.expireIn };
  const archive: readonly JobArtifact[] =
    artifacts.paths.length > 0 || artifacts.untracked
      ? [
          {
            ...(artifacts.name === undefined ? {} : { name: artifacts.name }),
            untracked: artifacts.untracked,
            paths: artifacts.paths,
            exclude: artifacts.exclude,
            when: artifacts.when,
            artifact_type: "archive",
            artifact_format: "zip",
            ...expiry,
          },
        ]
      : [];
  const reports = Object.entries(artifacts.reports).flatMap(([type, paths]): readonly JobArtifact[] => {
    const facts = artifactType(type);
    if (facts === undefined || paths.length === 0) return [];
    return [
      {
        ...(facts.defaultName === undefined ? {} : { name: facts.defaultName }),
        untracked: false,
        paths,
        when: "always",
        artifact_type: type,
        artifact_format: facts.format,
        ...expiry,
      },
    ];
  });
  return [...archive, ...reports];
}
