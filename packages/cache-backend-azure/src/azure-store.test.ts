import { randomUUID } from "node:crypto";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { describeCacheStore } from "@fleetfoot/cache-backend/testing";
import { createAzureStore } from "./azure-store.ts";

const mebibyte = 1024 * 1024;

describeWithSystem("azurite", (azurite) => {
  describeCacheStore("the Azure store", {
    abilities: ["conditional", "delete", "list", "parts", "presign", "ranges"],
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
});
