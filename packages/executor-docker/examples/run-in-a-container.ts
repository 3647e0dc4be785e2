import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createDockerExecutor, EngineUnreachableError } from "@fleetfoot/executor-docker";

const hostDirectory = await mkdtemp(join(tmpdir(), "example-"));
const token = { reveal: () => "glrt-example" };
const executor = createDockerExecutor({
  engine: { host: process.env["DOCKER_HOST"] ?? "" },
  runner: { token, shortToken: "example", systemId: "s_0123456789ab" },
  hostDirectory,
  settings: { pullPolicy: ["if-not-present"] },
});
try {
  const removed = await executor.sweep({ signal: AbortSignal.timeout(5_000) });
  console.log(`left by earlier runs: ${removed.containers} containers, ${removed.volumes} volumes`);
} catch (error) {
  if (!(error instanceof EngineUnreachableError)) throw error;
  console.log(`no engine to show it with: ${error.message}`);
}
await executor.close();
await rm(hostDirectory, { recursive: true });
