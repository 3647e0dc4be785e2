import { generateKeyPairSync, randomUUID } from "node:crypto";
import { startFaultyForwarder } from "@fleetfoot-tooling/systems/faults";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { describe, expect, it } from "vitest";
import { describeCacheStore, describeLostAnswers, killUploads } from "@fleetfoot/cache-backend/testing";
import { Agent, buildConnector } from "undici";
import { createGcsStore } from "./gcs-store.ts";

const mebibyte = 1024 * 1024;

/** Each takes a second, so many of them are for those who ask for them. */
const kills = Number(process.env["FLEETFOOT_KILLS"] ?? 5);
const { privateKey } = generateKeyPairSync("rsa", {
  modulusLength: 2048,
  privateKeyEncoding: { type: "pkcs8", format: "pem" },
  publicKeyEncoding: { type: "spki", format: "pem" },
});

describeWithSystem("fake-gcs-server", (gcs) => {
  describeCacheStore("the GCS store", {
    // It has no uploads in signed parts; what is sent for them is looked at in another test.
    abilities: ["conditional", "delete", "in-parts", "list", "parts", "presign", "ranges"],
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

  describe("a conditional put to the GCS store", () => {
    describeLostAnswers(async () => {
      const bucket = `bucket-${randomUUID()}`;
      await gcs().createBucket(bucket);
      const forwarder = await startFaultyForwarder(gcs().endpoint);
      const [hostname = "", port = ""] = forwarder.address.split(":");
      const connect = buildConnector({});
      // The server looks at the host that it is asked by.
      const dispatcher = new Agent({ connect: (wanted, callback) => connect({ ...wanted, hostname, port }, callback) });
      const { endpoint } = gcs();
      const options = { bucket, endpoint, partBytes: 2 * mebibyte, sleep: async () => {} };
      return {
        lossy: createGcsStore({ ...options, dispatcher }),
        direct: createGcsStore(options),
        longBytes: 5 * mebibyte,
        lose(what, isLong) {
          const request = isLong ? /content-range: bytes 4194304-/i : /^POST \S*uploadType=multipart/;
          forwarder.planned.push({ request, within: what, fault: "break" });
          return forwarder.nextFault();
        },
        loseLook() {
          forwarder.planned.push({ request: /^HEAD /, within: "answer", fault: "break" });
          return forwarder.nextFault();
        },
        async close() {
          await dispatcher.destroy();
          await forwarder[Symbol.asyncDispose]();
        },
      };
    });
  });

  describe("the GCS store", () => {
    it(
      "shows a whole object after each SIGKILL at a random moment of an upload",
      async () => {
        const bucket = `bucket-${randomUUID()}`;
        await gcs().createBucket(bucket);
        const where = { bucket, endpoint: gcs().endpoint, partBytes: 2 * mebibyte };
        const source = JSON.stringify(new URL("gcs-store.ts", import.meta.url).href);
        const module = `import { createGcsStore } from ${source}; const store = createGcsStore(${JSON.stringify(where)});`;
        const { wholeObjects, broken } = await killUploads({ store: createGcsStore(where), module, kills });
        expect(broken).toEqual([]);
        expect(wholeObjects).toBe(kills);
      },
      kills * 15_000,
    );
  });
});
