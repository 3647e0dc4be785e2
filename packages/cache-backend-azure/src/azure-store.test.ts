import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type PlannedFault, startFaultyForwarder } from "@fleetfoot-tooling/systems/faults";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { describe, expect, it } from "vitest";
import { downloadToFile } from "@fleetfoot/cache-backend";
import { describeCacheStore, describeLostAnswers, killUploads } from "@fleetfoot/cache-backend/testing";
import { createAzureStore } from "./azure-store.ts";

const mebibyte = 1024 * 1024;

/** Each takes a second, so many of them are for those who ask for them. */
const kills = Number(process.env["FLEETFOOT_KILLS"] ?? 5);

describeWithSystem("azurite", (azurite) => {
  describeCacheStore("the Azure store", {
    abilities: ["conditional", "delete", "in-parts", "list", "parts", "presign", "ranges"],
    // Azurite sorts by UTF-16, in which these names stand elsewhere.
    unlistable: (name) => /[\u{10000}-\u{10ffff}]/u.test(name),
    async open() {
      const { accountName, accountKey, blobEndpoint, createContainer } = azurite();
      const containerName = `container-${randomUUID()}`;
      await createContainer(containerName);
      const account = { accountName, accountKey, endpoint: blobEndpoint };
      return {
        store: createAzureStore({ ...account, containerName, partBytes: 5 * mebibyte }),
        close: async () => {},
      };
    },
  });

  describe("a connection of the Azure store that hangs", () => {
    const content = Buffer.alloc(11 * mebibyte, "0123456789");
    const openRange = (start: number, end: number) => new Blob([content.slice(start, end)]).stream();
    const body = { bytes: content.byteLength, open: () => openRange(0, content.byteLength), openRange };

    it.each<{ row: string; plan: Omit<PlannedFault, "fault">; attemptTimeoutMs?: number }>([
      {
        row: "where an upload is put together, for as long as one try may take",
        plan: { request: /^PUT \S*comp=blocklist/, within: "answer" },
        attemptTimeoutMs: 3000,
      },
      {
        row: "in the middle of a part",
        plan: { request: /^PUT \S*comp=block&/, within: "request", afterBytes: mebibyte },
      },
      { row: "in the middle of a download", plan: { request: /^GET /, within: "answer", afterBytes: mebibyte } },
    ])("is given up, and the request tried again: $row", async ({ plan, attemptTimeoutMs }) => {
      const { accountName, accountKey, blobEndpoint, createContainer } = azurite();
      await using forwarder = await startFaultyForwarder(blobEndpoint);
      const containerName = `container-${randomUUID()}`;
      await createContainer(containerName);
      const endpoint = blobEndpoint.replace(new URL(blobEndpoint).host, forwarder.address);
      const store = createAzureStore({
        accountName,
        accountKey,
        endpoint,
        containerName,
        partBytes: 5 * mebibyte,
        idleTimeoutMs: 1500,
        sleep: async () => {},
      });
      const directory = await mkdtemp(join(tmpdir(), "hanging-"));
      try {
        const fault = forwarder.nextFault();
        forwarder.planned.push({ ...plan, fault: "hang" });
        await store.put("dir/object", body, { concurrency: 1, attemptTimeoutMs });
        const path = join(directory, "cache.zip");
        const sleep = async (): Promise<void> => {};
        await downloadToFile(store, "dir/object", path, { sleep });
        await fault;
        expect((await readFile(path)).equals(content)).toBe(true);
      } finally {
        await rm(directory, { recursive: true });
      }
    });
  });

  describe("a conditional put to the Azure store", () => {
    describeLostAnswers(async () => {
      const { accountName, accountKey, blobEndpoint, createContainer } = azurite();
      const containerName = `container-${randomUUID()}`;
      await createContainer(containerName);
      const forwarder = await startFaultyForwarder(blobEndpoint);
      const lossyEndpoint = blobEndpoint.replace(new URL(blobEndpoint).host, forwarder.address);
      const options = { accountName, accountKey, containerName, partBytes: 2 * mebibyte, sleep: async () => {} };
      return {
        lossy: createAzureStore({ ...options, endpoint: lossyEndpoint }),
        direct: createAzureStore({ ...options, endpoint: blobEndpoint }),
        longBytes: 5 * mebibyte,
        lose(what, isLong) {
          const request = isLong ? /^PUT \S*comp=blocklist/ : /^PUT /;
          forwarder.planned.push({ request, within: what, fault: "break" });
          return forwarder.nextFault();
        },
        loseLook() {
          forwarder.planned.push({ request: /^HEAD /, within: "answer", fault: "break" });
          return forwarder.nextFault();
        },
        async close() {
          await forwarder[Symbol.asyncDispose]();
        },
      };
    });
  });

  describe("the Azure store", () => {
    it(
      "shows a whole object after each SIGKILL at a random moment of an upload",
      async () => {
        const { accountName, accountKey, blobEndpoint, createContainer } = azurite();
        const containerName = `container-${randomUUID()}`;
        await createContainer(containerName);
        const where = { accountName, accountKey, endpoint: blobEndpoint, containerName, partBytes: 2 * mebibyte };
        const source = JSON.stringify(new URL("azure-store.ts", import.meta.url).href);
        const module = `import { createAzureStore } from ${source}; const store = createAzureStore(${JSON.stringify(where)});`;
        const { wholeObjects, broken } = await killUploads({ store: createAzureStore(where), module, kills });
        expect(broken).toEqual([]);
        expect(wholeObjects).toBe(kills);
      },
      kills * 15_000,
    );
  });
});
