// How fast images come through fleetfoot-mirror, against distribution (registry:2) in proxy mode with the same upstream.
import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, request } from "node:http";
import type { Server } from "node:http";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { startRegistry } from "@fleetfoot-tooling/systems";
import { peakMemoryMb } from "./peak-memory.ts";
import { repositoryRoot } from "./process.ts";
import { median } from "./statistics.ts";

const RUNS = 3;
const CLIENTS = 8;
const BLOB_BYTES = 200 * 1024 * 1024;
const REQUEST_MS = 2000;
const CONNECTIONS = 16;
const PARALLEL_BODIES = 50;
const MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json";

export async function measure(): Promise<void> {
  await using upstream = await startRegistry();
  const image = await pushImage(upstream.endpoint);
  const results: Record<"distribution" | "fleetfoot", Figures[]> = { distribution: [], fleetfoot: [] };
  for (let index = 0; index < RUNS; index += 1) {
    results.fleetfoot.push(await measureOne(startFleetfoot, upstream.endpoint, image));
    results.distribution.push(await measureOne(startDistribution, upstream.endpoint, image));
  }
  for (const figure of Object.keys(targets) as (keyof Figures)[]) {
    const ours = median(results.fleetfoot.map((figures) => figures[figure]));
    const theirs = median(results.distribution.map((figures) => figures[figure]));
    const { name, unit, wanted } = targets[figure];
    console.log(
      `${name}: ${ours.toFixed(1)} ${unit}, distribution ${theirs.toFixed(1)} ${unit}, ratio ${(ours / theirs).toFixed(2)} (${wanted})`,
    );
  }
}

interface Figures {
  readonly cold: number;
  readonly warm: number;
  readonly coldParallel: number;
  readonly upstreamMiB: number;
  readonly upstreamParallelMiB: number;
  readonly digest: number;
  readonly digestConnect: number;
  readonly tag: number;
  readonly repeatedRequests: number;
  readonly memory: number;
}

const targets: Readonly<
  Record<keyof Figures, { readonly name: string; readonly unit: string; readonly wanted: string }>
> = {
  cold: { name: "200 MiB, cold", unit: "MB/s", wanted: "to reach 300 MB/s" },
  warm: { name: "200 MiB, warm", unit: "MB/s", wanted: "to reach 1000 MB/s" },
  coldParallel: { name: "200 MiB, cold, 8 clients at once, in all", unit: "MB/s", wanted: "more is better" },
  upstreamMiB: { name: "sent by the upstream for one cold pull", unit: "MiB", wanted: "200" },
  upstreamParallelMiB: { name: "sent by the upstream for 8 cold pulls at once", unit: "MiB", wanted: "200" },
  digest: { name: "manifests by digest, connections kept", unit: "requests/s", wanted: "to reach 5000" },
  digestConnect: { name: "manifests by digest, a connection each", unit: "requests/s", wanted: "to reach 2000" },
  tag: { name: "manifests by tag, connections kept", unit: "requests/s", wanted: "to reach 5000" },
  repeatedRequests: { name: "requests to the upstream for a repeated pull", unit: "requests", wanted: "0" },
  memory: { name: "peak memory, 50 bodies of 200 MiB at once among it", unit: "MB", wanted: "at most 250" },
};

interface PushedImage {
  readonly manifestDigest: string;
  readonly blobDigest: string;
}

interface Peer {
  readonly url: string;
  readonly processId: number;
  stop(): Promise<void>;
}

type StartPeer = (upstream: string) => Promise<Peer>;

async function measureOne(start: StartPeer, upstream: string, image: PushedImage): Promise<Figures> {
  const blob = `/v2/library/bench/blobs/${image.blobDigest}`;
  const digest = `/v2/library/bench/manifests/${image.manifestDigest}`;
  const tag = "/v2/library/bench/manifests/one";
  // Straight to the upstream, so that nothing but the peers is measured.
  const direct = await start(upstream);
  const cold = await megabytesPerSecond(direct.url, blob, 1);
  await stored(direct.url, blob);
  const warm = Math.max(await megabytesPerSecond(direct.url, blob, 1), await megabytesPerSecond(direct.url, blob, 1));
  await get(direct.url, tag);
  await get(direct.url, digest);
  const digestRate = await requestsPerSecond(direct.url, digest, true);
  const digestConnect = await requestsPerSecond(direct.url, digest, false);
  const tagRate = await requestsPerSecond(direct.url, tag, true);
  await megabytesPerSecond(direct.url, blob, PARALLEL_BODIES);
  const memory = await peakMemoryMb(direct.processId);
  await direct.stop();

  const parallel = await start(upstream);
  const coldParallel = await megabytesPerSecond(parallel.url, blob, CLIENTS);
  await parallel.stop();

  // Through a counter, whose own cost does not matter here.
  const counter = await startCounter(upstream);
  const counted = await start(counter.url);
  await megabytesPerSecond(counted.url, blob, 1);
  await stored(counted.url, blob);
  const upstreamMiB = counter.bytes() / 1024 ** 2;
  for (const path of [tag, digest]) await get(counted.url, path);
  const before = counter.requests();
  for (const path of [tag, digest, blob]) await get(counted.url, path);
  const repeatedRequests = counter.requests() - before;
  await counted.stop();
  const bytesBefore = counter.bytes();
  const countedParallel = await start(counter.url);
  await megabytesPerSecond(countedParallel.url, blob, CLIENTS);
  await stored(countedParallel.url, blob);
  const upstreamParallelMiB = (counter.bytes() - bytesBefore) / 1024 ** 2;
  await countedParallel.stop();
  counter.server.closeAllConnections();
  counter.server.close();
  return {
    cold,
    warm,
    coldParallel,
    upstreamMiB,
    upstreamParallelMiB,
    digest: digestRate,
    digestConnect,
    tag: tagRate,
    repeatedRequests,
    memory,
  };
}

async function startFleetfoot(upstream: string): Promise<Peer> {
  const folder = await mkdtemp(join(tmpdir(), "mirror-bench-"));
  const program = resolve(repositoryRoot, "apps/mirror/dist/main.js");
  const words = [
    "serve",
    "--listen",
    "127.0.0.1:0",
    "--operators",
    "127.0.0.1:0",
    "--upstream",
    upstream,
    "--data",
    folder,
  ];
  const child = spawn(process.execPath, [program, ...words], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  while (!output.includes("for operators")) {
    const [text] = (await once(child.stdout, "data")) as [Buffer];
    output += text.toString();
  }
  child.stdout.resume();
  return {
    url: /serving on (\S+)/.exec(output)?.[1] ?? "",
    processId: child.pid ?? 0,
    async stop() {
      const ended = once(child, "close");
      child.kill("SIGKILL");
      await ended;
      await rm(folder, { recursive: true });
    },
  };
}

async function startDistribution(upstream: string): Promise<Peer> {
  const registry = await startRegistry({ mirrorOf: upstream });
  return { url: registry.endpoint, processId: registry.processId, stop: () => registry.stop() };
}

/** Reads a blob with so many clients at once. */
async function megabytesPerSecond(url: string, path: string, clients: number): Promise<number> {
  const startedAt = performance.now();
  const bytes = await Promise.all(Array.from({ length: clients }, () => readBody(url, path)));
  for (const received of bytes)
    if (received !== BLOB_BYTES) throw new Error(`${received} bytes came instead of ${BLOB_BYTES}`);
  return (clients * BLOB_BYTES) / 1e6 / ((performance.now() - startedAt) / 1000);
}

/** Waits until nothing more is fetched or written: a peer may still be storing what it has sent. */
async function stored(url: string, path: string): Promise<void> {
  await new Promise((settle) => setTimeout(settle, 2000));
  await get(url, path, "HEAD");
}

async function requestsPerSecond(url: string, path: string, keepAlive: boolean): Promise<number> {
  const endsAt = performance.now() + REQUEST_MS;
  let count = 0;
  const onAnswer = (): boolean => {
    count += 1;
    return performance.now() < endsAt;
  };
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      if (keepAlive) return askAgainAndAgain(url, path, onAnswer);
      for (let goOn = true; goOn; goOn = onAnswer()) await readBody(url, path);
    }),
  );
  return count / (REQUEST_MS / 1000);
}

/** Asks on one connection for as long as it is told to. A client of its own, since those of Node cost more than the answers. */
function askAgainAndAgain(url: string, path: string, onAnswer: () => boolean): Promise<void> {
  const { host, hostname, port } = new URL(url);
  const question = `GET ${path} HTTP/1.1\r\nhost: ${host}\r\naccept: ${MANIFEST_TYPE}\r\n\r\n`;
  return new Promise((settle, reject) => {
    const socket = connect({ host: hostname, port: Number(port), noDelay: true }, () => socket.write(question));
    let left = 0;
    socket.on("data", (chunk: Buffer) => {
      left = left === 0 ? lengthOfAnswer(chunk) - chunk.byteLength : left - chunk.byteLength;
      if (left > 0) return;
      if (onAnswer()) socket.write(question);
      else settle(void socket.destroy());
    });
    socket.on("error", reject);
  });
}

/** Bytes of a body, read on a connection of its own into the same memory again and again. */
function readBody(url: string, path: string): Promise<number> {
  const { host, hostname, port } = new URL(url);
  const question = `GET ${path} HTTP/1.1\r\nhost: ${host}\r\naccept: ${MANIFEST_TYPE}\r\nconnection: close\r\n\r\n`;
  return new Promise((settle, reject) => {
    let bodyBytes = 0;
    let received = 0;
    let hasHead = false;
    const callback = (bytes: number, buffer: Uint8Array): boolean => {
      if (!hasHead) {
        hasHead = true;
        const head = Buffer.from(buffer.subarray(0, bytes));
        bodyBytes = lengthOfAnswer(head);
        received = -(head.indexOf("\r\n\r\n") + 4);
        bodyBytes += received;
      }
      received += bytes;
      return true;
    };
    const onread = { buffer: Buffer.allocUnsafeSlow(256 * 1024), callback };
    const socket = connect({ host: hostname, port: Number(port), onread }, () => socket.write(question));
    socket.on("error", reject);
    socket.on("close", () => {
      if (received === bodyBytes) settle(received);
      else reject(new Error(`${path}: ${received} bytes of ${bodyBytes}`));
    });
  });
}

/** Length of an answer with its head, which came as a whole. */
function lengthOfAnswer(chunk: Buffer): number {
  const end = chunk.indexOf("\r\n\r\n");
  const head = chunk.toString("latin1", 0, Math.max(0, end));
  const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1];
  if (!head.startsWith("HTTP/1.1 200 ") || length === undefined) throw new Error(`an answer begins with ${head}`);
  return end + 4 + Number(length);
}

/** Bytes of the body. */
function get(url: string, path: string, method = "GET"): Promise<number> {
  return new Promise((settle, reject) => {
    const sent = request(`${url}${path}`, { method, headers: { accept: MANIFEST_TYPE }, agent: false }, (response) => {
      let bytes = 0;
      response.on("data", (chunk: Buffer) => {
        bytes += chunk.byteLength;
      });
      response.on("error", reject);
      response.on("end", () => {
        if (response.statusCode === 200) settle(bytes);
        else reject(new Error(`${method} ${path}: ${response.statusCode}`));
      });
    });
    sent.on("error", reject);
    sent.end();
  });
}

interface RequestCounter {
  readonly url: string;
  readonly server: Server;
  bytes(): number;
  requests(): number;
}

async function startCounter(upstream: string): Promise<RequestCounter> {
  let bytes = 0;
  let requests = 0;
  const server = createServer((incoming, response) => {
    requests += 1;
    const { headers, method, url = "/" } = incoming;
    const passed = request(`${upstream}${url}`, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.on("data", (chunk: Buffer) => {
        bytes += chunk.byteLength;
      });
      answer.pipe(response);
    });
    passed.on("error", () => response.destroy());
    passed.end();
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return { url: `http://127.0.0.1:${port}`, server, bytes: () => bytes, requests: () => requests };
}

async function pushImage(endpoint: string): Promise<PushedImage> {
  const blob = randomBytes(BLOB_BYTES);
  const config = Buffer.from("{}");
  for (const content of [config, blob]) {
    const started = await fetch(`${endpoint}/v2/library/bench/blobs/uploads/`, { method: "POST" });
    const location = new URL(started.headers.get("location") ?? "", endpoint);
    location.searchParams.set("digest", digestOf(content));
    await expectCreated(await fetch(location, { method: "PUT", body: content }));
  }
  const describe = (mediaType: string, content: Buffer): object => ({
    mediaType,
    size: content.byteLength,
    digest: digestOf(content),
  });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: describe("application/vnd.docker.container.image.v1+json", config),
      layers: [describe("application/vnd.docker.image.rootfs.diff.tar.gzip", blob)],
    }),
  );
  const headers = { "content-type": MANIFEST_TYPE };
  await expectCreated(
    await fetch(`${endpoint}/v2/library/bench/manifests/one`, { method: "PUT", headers, body: manifest }),
  );
  return { manifestDigest: digestOf(manifest), blobDigest: digestOf(blob) };
}

async function expectCreated(response: Response): Promise<void> {
  if (response.status !== 201) throw new Error(`the registry answered ${response.status}: ${await response.text()}`);
}

function digestOf(content: Buffer): string {
  return `sha256:${createHash("sha256").update(content).digest("hex")}`;
}
