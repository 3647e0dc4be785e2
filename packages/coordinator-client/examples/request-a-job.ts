import { createCoordinatorClient, Secret } from "@fleetfoot/coordinator-client";

// Stands in for a coordinator that is busy at first and has a job then.
let requests = 0;
async function coordinator(request: Request): Promise<Response> {
  console.log(`${request.method} ${request.url}`);
  requests += 1;
  return requests === 1
    ? new Response("busy", { status: 429, headers: { "Retry-After": "1" } })
    : Response.json({ id: 101, token: "job-token", job_info: { name: "unit tests" } }, { status: 201 });
}

const client = createCoordinatorClient({
  url: "https://gitlab.example.com",
  info: { name: "gitlab-runner", version: "19.4.0", executor: "shell" },
  fetch: coordinator, // without it, the client talks to the real one
});
const { job, attempts } = await client.requestJob({ token: new Secret("glrt-example"), systemId: "s_0a1b2c3d4e5f" });
console.log(`job ${job?.id}, "${job?.job_info.name}", at attempt ${attempts}`);
await client.close();
