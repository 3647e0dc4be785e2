import { describe, expect, it } from "vitest";
import { UsageError } from "../errors.ts";
import { openStore } from "./open-store.ts";

describe("a shared store", () => {
  it("is not opened by settings that its package refuses, and says which, and what to write", async () => {
    const options = { bucket: "images", serverAddress: "http://minio:9000" };
    await expect(openStore({ kind: "s3", options })).rejects.toThrow(
      new UsageError(
        's3: serverAddress is a host with or without a port, not a URL: write "minio:9000" and set insecure to true',
      ),
    );
  });
});
