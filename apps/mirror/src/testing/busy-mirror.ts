import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, get } from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startMirror } from "./process.ts";
import type { ChildMirror } from "./process.ts";

/** A mirror that has something to show: stored blobs, hits, limits, an upstream that is away, and a fill that goes on. */
export interface BusyMirror extends AsyncDisposable {
  readonly mirror: ChildMirror;
  /** Begin of the digest of what is being fetched. */
  readonly fetching: string;
}

const storedBytes = 5_000_000;
const fetchedBytes = 80_000_000;

/** Starts one, with three readers of a blob of which the upstream has sent a part. */
export async function startBusyMirror(): Promise<BusyMirror> {
  const data = await mkdtemp(join(tmpdir(), "mirror-busy-"));
  const stored = randomBytes(storedBytes);
  const fetched = digestOf(randomBytes(32));
  const hub = createServer((request, response) => answer(request, response, stored, fetched)).listen(0, "127.0.0.1");
  await once(hub, "listening");
  const { port } = hub.address() as AddressInfo;
  const words = ["--data", data, "--upstream", `http://127.0.0.1:${port}`, "--listen", "127.0.0.1:0"];
  const mirror = await startMirror([...words, "--max-size", "1GB"]);
  const path = `${mirror.url}/v2/library/app/blobs/`;
  for (let round = 0; round < 4; round += 1) await (await fetch(`${path}${digestOf(stored)}`)).arrayBuffer();
  const readers = Array.from({ length: 3 }, () => get(`${path}${fetched}`));
  await Promise.all(readers.map((reader) => once(reader, "response").then(([response]) => once(response, "data"))));
  return {
    mirror,
    fetching: fetched.slice(0, 19),
    async [Symbol.asyncDispose]() {
      for (const reader of readers) reader.on("error", () => {}).destroy();
      await mirror[Symbol.asyncDispose]();
      hub.closeAllConnections();
      hub.close();
      await rm(data, { recursive: true });
    },
  };
}

function answer({ url = "" }: IncomingMessage, response: ServerResponse, stored: Buffer, fetched: string): void {
  const limits = { "ratelimit-limit": "100;w=21600", "ratelimit-remaining": "76;w=21600" };
  if (url.endsWith(fetched)) {
    // The rest never comes.
    response.writeHead(200, { ...limits, "content-length": String(fetchedBytes) });
    response.write(stored);
    return;
  }
  response.writeHead(200, { ...limits, "content-length": String(stored.byteLength) });
  response.end(stored);
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}
