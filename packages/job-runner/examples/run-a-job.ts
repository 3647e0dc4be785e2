import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCoordinatorClient, Secret } from "@fleetfoot/coordinator-client";
import { runJob } from "@fleetfoot/job-runner";
import type { Environment } from "@fleetfoot/job-runner";

// Stands in for a coordinator: gives out one job and prints the log of it.
const variables = [{ key: "GIT_STRATEGY", value: "none" }];
const steps = [{ name: "script", script: ["echo hi, I am job $CI_CONCURRENT_ID"] }];
async function coordinator(request: Request): Promise<Response> {
  if (request.method === "PATCH") process.stdout.write(await request.text());
  if (request.method !== "POST") return new Response(null, { status: request.method === "PATCH" ? 202 : 200 });
  return Response.json({ id: 101, token: "job-token", variables, steps }, { status: 201 });
}
const [url, info] = ["https://gitlab.example.com", { name: "example", version: "1.0.0" }];
const client = createCoordinatorClient({ url, info, fetch: coordinator });
const identity = { token: new Secret("glrt-example"), systemId: "s_0a1b2c3d4e5f" };
const { job } = await client.requestJob(identity);
if (job === undefined) throw new Error("there was no job");

// The smallest executor there can be; @fleetfoot/executor-shell is one for production.
const nothing = async (): Promise<void> => undefined;
const run: Environment["run"] = async ({ script, stdout }) => {
  const bash = spawn("bash");
  bash.stdout.pipe(stdout, { end: false });
  bash.stdin.end(script);
  const [code] = await once(bash, "close");
  return { code, text: `exit status ${code}` };
};
const root = await mkdtemp(join(tmpdir(), "example-"));
const result = await runJob({
  job,
  runner: { ...identity, name: "example", url, buildsDirectory: `${root}/builds`, cacheDirectory: `${root}/cache` },
  client,
  executor: {
    name: "example",
    prepare: async ({ directories }) => ({
      workspace: { directories, publish: nothing, collect: nothing },
      variables: {},
      description: "this host",
      run,
      cleanup: nothing,
    }),
  },
  stateDirectory: root,
  concurrentId: 0,
  concurrentProjectId: 0,
  signal: new AbortController().signal,
});
console.log(`${result.outcome} after ${result.durationMs} ms, log delivered: ${result.delivered}`);
