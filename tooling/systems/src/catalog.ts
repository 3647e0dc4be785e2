import { startAzurite } from "./azurite.ts";
import { startDockerEngine } from "./docker-engine.ts";
import { startFakeGcsServer } from "./fake-gcs-server.ts";
import { startGitServer } from "./git-server.ts";
import { startMinio } from "./minio.ts";
import { startRegistry } from "./registry.ts";
import { startSquid } from "./squid.ts";
import { startTinyproxy } from "./tinyproxy.ts";

/** How to start each system with its defaults, by the name that the report uses. */
export const systemStarters = {
  azurite: () => startAzurite(),
  "docker-engine": () => startDockerEngine(),
  "docker-registry": () => startRegistry(),
  "fake-gcs-server": () => startFakeGcsServer(),
  "git-server": () => startGitServer(),
  minio: () => startMinio(),
  squid: () => startSquid(),
  tinyproxy: () => startTinyproxy(),
} as const;

/** Name of a system. */
export type SystemName = keyof typeof systemStarters;

/** What the starter of a system gives. */
export type SystemOf<Name extends SystemName> = Awaited<ReturnType<(typeof systemStarters)[Name]>>;
