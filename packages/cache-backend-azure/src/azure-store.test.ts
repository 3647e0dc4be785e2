import { randomUUID } from "node:crypto";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { describe, expect, it } from "vitest";
import { describeCacheStore, killUploads } from "@fleetfoot/cache-backend/testing";
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
