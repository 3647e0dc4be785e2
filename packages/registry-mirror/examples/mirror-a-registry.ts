import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { createServer } from "node:http";
import { createMirror } from "@fleetfoot/registry-mirror";

const layer = "the bytes of a layer";
const digest = `sha256:${createHash("sha256").update(layer).digest("hex")}`;
// Stands in for https://registry-1.docker.io.
const hub = createServer((request, response) => {
  console.log(`upstream: ${request.method} ${request.url?.slice(0, 40)}...`);
  response.end(layer);
});
await new Promise<void>((resolve) => hub.listen(0, "127.0.0.1", resolve));
const { port } = hub.address() as { port: number };

const directory = `${process.env["TMPDIR"] ?? "/tmp"}/mirror-${process.pid}`;
const mirror = await createMirror({ directory, upstreams: { hub: { url: `http://127.0.0.1:${port}` } } });
for (let pull = 1; pull <= 2; pull += 1) {
  const response = await mirror.handle(new Request(`http://mirror/v2/library/app/blobs/${digest}`));
  console.log(`pull ${pull}: ${response.status}, "${await response.text()}"`);
}
await mirror.close();
await rm(directory, { recursive: true });
hub.close();
