import { startLocalCoordinator } from "@fleetfoot/local-coordinator";

const coordinator = await startLocalCoordinator();
const runner = coordinator.createRunner();
const { id, finished } = coordinator.addJob({ steps: [{ name: "script", script: ["echo hi"] }] });

const send = (method: string, path: string, body: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${coordinator.url}/api/v4/${path}`, { method, body, headers });
const answer = await send("POST", "jobs/request", JSON.stringify({ token: runner.token }));
const { token } = (await answer.json()) as { token: string };
await send("PUT", `jobs/${id}`, JSON.stringify({ token, state: "running" }));
await send("PATCH", `jobs/${id}/trace`, "$ echo hi\nhi\n", { "Content-Range": "0-12", "JOB-TOKEN": token });
await send("PUT", `jobs/${id}`, JSON.stringify({ token, state: "success" }));

console.log(`job ${id}: ${(await finished).status}\n${Buffer.from(await coordinator.readTrace(id)).toString()}`);
await coordinator.close();
