import { generateKeyPairSync, randomUUID } from "node:crypto";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { describeCacheStore } from "@fleetfoot/cache-backend/testing";
import { createGcsStore } from "./gcs-store.ts";

const mebibyte = 1024 * 1024;
const { privateKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "pem" },
});

describeWithSystem("fake-gcs-server", (gcs) => {
  describeCacheStore("the GCS store", {
    // It has no uploads in signed parts; what is sent for them is looked at in another test.
    abilities: ["conditional", "delete", "list", "parts", "presign", "ranges"],
    untested: ["parts"],
    // It takes every signature for a good one; what is signed is looked at in another test.
    checksSignatures: false,
    async open() {
      const bucket = `bucket-${randomUUID()}`;
      await gcs().createBucket(bucket);
      const identity = { accessId: "signer@project.iam.gserviceaccount.com", privateKey };
      const store = createGcsStore({ bucket, endpoint: gcs().endpoint, partBytes: 5 * mebibyte, ...identity });
      return { store, close: async () => {} };
    },
  });
});
