import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createTcpServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterEach, beforeAll, beforeEach, expect, it } from "vitest";
import { runMirror, startMirror } from "../testing/process.ts";
import { checkStore } from "./check-store.ts";
import type { StoreProblem } from "./check-store.ts";
import { openStore } from "./open-store.ts";

describeWithSystem("minio", (minio) => {
  let folder: string;
  let config: string;

  beforeAll(() => minio().createBucket("images"));

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "store-"));
    config = join(folder, "mirror.toml");
  });

  afterEach(() => rm(folder, { recursive: true }));

  /** Of the store that there is, unless they say otherwise. */
  async function writeSettings(changes: Readonly<Record<string, string>> = {}): Promise<void> {
    const settings = {
      bucket: "images",
      serverAddress: new URL(minio().endpoint).host,
      accessKeyId: minio().accessKeyId,
      secretAccessKey: minio().secretAccessKey,
      ...changes,
    };
    const lines = Object.entries(settings).map(([key, value]) => `${key} = ${JSON.stringify(value)}`);
    await writeFile(config, ["[s3]", "insecure = true", ...lines, ""].join("\n"));
  }

  const serving = (): readonly string[] => [
    "--config",
    config,
    "--data",
    join(folder, "data"),
    "--upstream",
    "http://127.0.0.1:1",
    "--listen",
    "127.0.0.1:0",
  ];

  const wrong = [
    {
      what: "a secret that is wrong",
      changes: { secretAccessKey: "wrong" },
      names: /s3\.secretAccessKey .* say: .*SignatureDoesNotMatch.* Set the right ones/,
    },
    {
      what: "a key that does not exist",
      changes: { accessKeyId: "nobody" },
      names: /s3\.accessKeyId .* say: .*InvalidAccessKeyId/,
    },
    {
      what: "a bucket that does not exist",
      changes: { bucket: "missing" },
      names: /s3\.bucket "missing"\) is not there: .*NoSuchBucket.* Create it/,
    },
  ];
  it.each(wrong)("a wrong setting of the shared store keeps serve from starting: $what", async ({ changes, names }) => {
    await writeSettings(changes);
    const { code, stderr, stdout } = await runMirror(["serve", "--operators", "127.0.0.1:0", ...serving()]);
    expect([code, stdout, stderr.split("\n").length]).toEqual([1, "", 2]);
    expect(stderr).toMatch(names);
    expect(stderr).not.toContain(minio().secretAccessKey);
    // Nothing was begun.
    expect(await readdir(folder)).toEqual(["mirror.toml"]);
  });

  it.each(wrong)("a wrong setting of the shared store is told by doctor: $what", async ({ changes, names }) => {
    await writeSettings(changes);
    const { code, stdout } = await runMirror(["doctor", "--config", config, "--socket", join(folder, "none.sock")]);
    expect(code).toBe(1);
    expect(stdout).toMatch(new RegExp(`^FAIL .*${names.source}`, "m"));
  });

  it("another server at the address of the shared store keeps serve from starting", async () => {
    const page = createServer((_request, response) => response.writeHead(404).end("<html>")).listen(0, "127.0.0.1");
    await once(page, "listening");
    await writeSettings({ serverAddress: `127.0.0.1:${(page.address() as AddressInfo).port}` });
    const { code, stderr } = await runMirror(["serve", "--operators", "127.0.0.1:0", ...serving()]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("s3.serverAddress")]);
    page.close();
    page.closeAllConnections();
  });

  it("a shared store that is away is warned of, and the mirror serves", async () => {
    await writeSettings({ serverAddress: "127.0.0.1:1" });
    await using mirror = await startMirror(serving());
    expect(mirror.output()).toMatch(/warning: the shared store \(s3\.bucket "images"\) .*; blobs are kept on the disk/);
    expect((await fetch(`${mirror.url}/v2/`)).status).toBe(200);
    const { stdout } = await runMirror(["doctor", "--config", config, "--socket", join(folder, "none.sock")]);
    expect(stdout).toMatch(/^FAIL the shared store \(s3\.bucket "images"\)/m);
  });

  it("a shared store that does not answer is not waited for", async () => {
    const silent = createTcpServer(() => {}).listen(0, "127.0.0.1");
    await once(silent, "listening");
    const options = { bucket: "images", serverAddress: `127.0.0.1:${(silent.address() as AddressInfo).port}` };
    const settings = {
      kind: "s3",
      options: { ...options, insecure: true, accessKeyId: "a", secretAccessKey: "b" },
    } as const;
    const patience = new AbortController();
    silent.on("connection", () => patience.abort(new Error("enough")));
    expect(await checkStore(await openStore(settings), settings, patience.signal)).toEqual({
      isLasting: false,
      text: 'the shared store (s3.bucket "images") did not answer in time',
    });
    silent.close();
  });

  it("a shared store that is as the settings say is found in order", async () => {
    await writeSettings();
    await using mirror = await startMirror(serving());
    expect(mirror.output()).not.toContain("warning");
    const { stdout } = await runMirror(["doctor", "--config", config, "--socket", join(folder, "none.sock")]);
    expect(stdout).toContain('ok   the shared store (s3.bucket "images") answers\n');
  });
});

const never = new AbortController().signal;

describeWithSystem("fake-gcs-server", (gcs) => {
  it("a bucket of Google is found in order, and one that does not exist is named", async () => {
    await gcs().createBucket("images");
    const problemOf = async (bucket: string): Promise<StoreProblem | undefined> => {
      const settings = { kind: "gcs", options: { bucket, endpoint: gcs().endpoint } } as const;
      return checkStore(await openStore(settings), settings, never);
    };
    expect(await problemOf("images")).toBeUndefined();
    expect(await problemOf("missing")).toMatchObject({
      isLasting: true,
      text: expect.stringContaining('gcs.bucket "missing"') as string,
    });
  });
});

describeWithSystem("azurite", (azurite) => {
  it("a container of Azure is found in order; one that does not exist, and a wrong key, are named", async () => {
    const { accountKey, accountName, blobEndpoint, createContainer } = azurite();
    await createContainer("images");
    const problemOf = async (changes: Readonly<Record<string, string>>): Promise<StoreProblem | undefined> => {
      const options = { accountName, accountKey, endpoint: blobEndpoint, containerName: "images", ...changes };
      const settings = { kind: "azure", options } as const;
      return checkStore(await openStore(settings), settings, never);
    };
    expect(await problemOf({})).toBeUndefined();
    for (const [changes, named] of [
      [{ containerName: "missing" }, 'azure.containerName "missing"'],
      [{ accountKey: Buffer.from("wrong").toString("base64") }, "azure.accountKey"],
    ] as const)
      expect(await problemOf(changes)).toMatchObject({
        isLasting: true,
        text: expect.stringContaining(named) as string,
      });
  });
});
