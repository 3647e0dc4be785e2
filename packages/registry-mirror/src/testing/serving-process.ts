// A mirror that serves one upstream with a login of its own, until it is killed. Arguments: its directory, and the upstream.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { createMirror } from "../mirror.ts";
import { createNodeListener } from "../node-listener.ts";
import { Secret } from "../secret.ts";

const [, , directory = "", url = ""] = process.argv;
const credentials = { username: "robot", password: new Secret("hunter2-secret") };
const upstream = { url, access: "shared", sharedNames: ["^org/"], credentials } as const;
const mirror = await createMirror({ directory, upstreams: { upstream }, reserveBytes: 0 });
const server = createServer(createNodeListener(mirror)).listen(0, "127.0.0.1", () => {
  process.stdout.write(`${(server.address() as AddressInfo).port}\n`);
});
