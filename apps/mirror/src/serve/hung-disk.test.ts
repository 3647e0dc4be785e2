import { execFile } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";
import { startMirror } from "../testing/process.ts";

const run = promisify(execFile);

it("serve ends when it is told to, although a call of the system never ends, and says so", async () => {
  const layer = randomBytes(100_000);
  const hex = createHash("sha256").update(layer).digest("hex");
  const hub = createServer((_request, response) => response.end(layer)).listen(0, "127.0.0.1");
  await once(hub, "listening");
  const data = await mkdtemp(join(tmpdir(), "mirror-app-"));
  const upstream = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
  await using mirror = await startMirror(["--data", data, "--upstream", upstream, "--listen", "127.0.0.1:0"]);
  const pull = async (): Promise<boolean> => {
    const { body } = await fetch(`${mirror.url}/v2/library/app/blobs/sha256:${hex}`);
    return Buffer.from(await new Response(body).arrayBuffer()).equals(layer);
  };
  expect(await pull()).toBe(true);
  const file = join(data, "blobs", "sha256", hex.slice(0, 2), hex);
  await expect
    .poll(() =>
      stat(file).then(
        ({ size }) => size,
        () => 0,
      ),
    )
    .toBe(layer.byteLength);
  // The end of a pipe that nobody writes to lets an open hang, as a file of a server that is gone does.
  await rm(file);
  await run("mkfifo", [file]);
  expect(await pull()).toBe(true);
  mirror.kill("SIGTERM");
  expect(await mirror.ended).toBe("SIGTERM");
  expect(mirror.output()).toContain("ended although a call of the system goes on: does the disk answer?");
  hub.closeAllConnections();
  hub.close();
  await rm(data, { recursive: true });
}, 60_000);
