import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readlink, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { createMirror } from "./mirror.ts";
import type { RegistryMirror } from "./registry-mirror.ts";
import type { MirrorOptions } from "./options.ts";
import { createManualClock } from "./testing/manual-clock.ts";

describe("the directory of a mirror", () => {
  let directory: string;
  const open = (url = "http://127.0.0.1:1"): Promise<RegistryMirror> =>
    createMirror({ directory, reserveBytes: 0, upstreams: { hub: { url } } });

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), "mirror-"));
  });
  afterEach(() => rm(directory, { recursive: true }));

  it("belongs to one mirror at a time, whose unfinished files another one leaves alone", async () => {
    const first = await open();
    await writeFile(join(directory, "tmp", "half"), "half a blob");
    await expect(open()).rejects.toMatchObject({
      code: "directory-in-use",
      directory,
      processId: process.pid,
      message: expect.stringContaining(`${directory} is in use by process ${process.pid}`) as string,
    });
    expect(await readdir(join(directory, "tmp"))).toEqual(["half"]);
    await first.close();
    const second = await open();
    expect(await readdir(join(directory, "tmp"))).toEqual([]);
    await second.close();
  });

  it("is free again after a process that was killed", async () => {
    const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
    await writeFile(join(directory, "lock"), `${child.pid} -\n`);
    await expect(open()).rejects.toMatchObject({ processId: child.pid });
    child.kill("SIGKILL");
    await once(child, "exit");
    await (await open()).close();
  });

  it("is free when the number of its process has gone to another one, or the file says nothing", async () => {
    for (const text of [`${process.pid} 1\n`, ""]) {
      await writeFile(join(directory, "lock"), text);
      await (await open()).close();
    }
  });

  it("tells of a folder in the place of its lock, and what to do about it", async () => {
    await mkdir(join(directory, "lock"));
    await expect(open()).rejects.toMatchObject({
      code: "invalid-options",
      message: expect.stringMatching(/lock is a folder, .* Remove the folder/) as string,
    });
  });

  it("answers nothing more once it is closed", async () => {
    const mirror = await open();
    await mirror.close();
    expect((await mirror.handle(new Request("http://mirror/v2/"))).status).toBe(503);
  });

  it("is not opened without options that make sense, whose problems are told at once", async () => {
    const options = JSON.parse('{ "reserveBytes": -1, "maxBytes": 1.5 }') as MirrorOptions;
    await expect(createMirror(options)).rejects.toMatchObject({
      code: "invalid-options",
      problems: ["directory", "maxBytes", "reserveBytes", "upstreams"].map(
        (name) => expect.stringContaining(`${name}:`) as string,
      ),
    });
  });

  it("ends a body that is on its way when its request is aborted", async () => {
    const bytes = Buffer.alloc(3_000_000, "layer");
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    // Sends half of it, and then nothing more.
    const server = createServer((_request, response) => {
      response.writeHead(200, { "content-length": bytes.byteLength });
      response.write(bytes.subarray(0, 1_500_000));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const mirror = await open(`http://127.0.0.1:${port}`);
    const leaving = new AbortController();
    const request = new Request(`http://mirror/v2/org/app/blobs/${digest}`, { signal: leaving.signal });
    const { body, status } = await mirror.handle(request);
    expect(status).toBe(200);
    const reader = body?.getReader();
    expect((await reader?.read())?.value?.byteLength).toBeGreaterThan(0);
    expect(mirror.status().fills).toMatchObject([{ digest, readers: 1 }]);
    leaving.abort(new Error("left"));
    await expect(reader?.read()).rejects.toThrow("left");
    expect(mirror.status().fills).toMatchObject([{ digest, readers: 0 }]);
    await mirror.close();
    server.closeAllConnections();
    server.close();
  });

  it("lets go of a body that nobody reads", async () => {
    const bytes = Buffer.alloc(100_000, "layer");
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    const server = createServer((_request, response) => void response.end(bytes)).listen(0, "127.0.0.1");
    await once(server, "listening");
    const clock = createManualClock();
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const mirror = await createMirror({ directory, reserveBytes: 0, upstreams: { hub: { url } }, clock });
    const path = `/v2/org/app/blobs/${digest}`;
    const open = async (): Promise<Response> => mirror.handle(new Request(`http://mirror${path}`));
    const filesOpen = async (): Promise<number> => {
      const links = (await readdir("/proc/self/fd")).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ""));
      return (await Promise.all(links)).filter(
        (link) => link.startsWith(directory) && !link.startsWith(join(directory, "lock")),
      ).length;
    };
    expect((await (await open()).bytes()).byteLength).toBe(bytes.byteLength);
    await expect.poll(async () => [mirror.status().fills, await filesOpen()]).toEqual([[], 0]);
    const unread = await open();
    const slow = (await open()).body?.getReader();
    expect(await filesOpen()).toBe(2);
    await clock.advance(200_000);
    expect((await slow?.read())?.done).toBe(false);
    await clock.advance(100_000);
    await expect.poll(filesOpen).toBe(1);
    await expect(unread.bytes()).rejects.toThrow("not read for too long");
    expect(await slow?.read()).toEqual({ done: true, value: undefined });
    await mirror.close();
    server.close();
  });

  it("gives manifests away that their readers may change", async () => {
    const text = JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.index.v1+json",
      manifests: [],
    });
    const server = createServer((_request, response) => {
      response.setHeader("content-type", "application/vnd.oci.image.index.v1+json");
      response.end(text);
    }).listen(0, "127.0.0.1");
    await once(server, "listening");
    const mirror = await open(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const target = `/v2/org/app/manifests/sha256:${createHash("sha256").update(text).digest("hex")}`;
    for (const _time of ["fetched", "cached", "cached again"]) {
      const { body } = await mirror.answer({ method: "GET", target, headers: {} });
      if (!(body instanceof Uint8Array)) throw new Error("there is no manifest");
      expect(Buffer.from(body).toString()).toBe(text);
      body.fill(0);
    }
    await mirror.close();
    server.close();
  });

  it("rejects a request that was aborted", async () => {
    const mirror = await open();
    const request = new Request("http://mirror/v2/", { signal: AbortSignal.abort(new Error("left")) });
    await expect(mirror.handle(request)).rejects.toThrow("left");
    await mirror.close();
  });
});
