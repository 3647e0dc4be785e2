import { createCoordinatorClient, Secret, shortToken } from "@fleetfoot/coordinator-client";
import { createCoordinatorMetrics } from "@fleetfoot/coordinator-client/metrics";
import { Registry } from "prom-client";

const registry = new Registry();
const metrics = createCoordinatorMetrics({ registry }); // once for all runners of the process
const token = new Secret("glrt-example");
const systemId = "s_0a1b2c3d4e5f";

// Stands in for a coordinator that is busy at first and has no job then.
const answers = [new Response("busy", { status: 429 }), new Response(null, { status: 204 })];
const client = createCoordinatorClient({
  url: "https://gitlab.example.com",
  info: { name: "gitlab-runner", version: "19.4.0" },
  fetch: async () => answers.shift() ?? Response.error(),
  ...metrics.forRunner({ runner: shortToken(token.reveal()), systemId }),
});
await client.requestJob({ token, systemId });
console.log(await registry.getSingleMetricAsString("fleetfoot_api_request_attempts_total"));
