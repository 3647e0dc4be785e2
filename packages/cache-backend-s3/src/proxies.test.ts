import { createHash, randomBytes, randomUUID } from "node:crypto";
import { join } from "node:path";
import {
  makeCertificateFolder,
  runProgram,
  startSquid,
  startTlsFront,
  systemEnvironment,
} from "@fleetfoot-tooling/systems";
import type { Minio, Squid } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { bodyOf, readText } from "@fleetfoot/cache-backend/testing";
import { decideProxy, portableNoProxy, proxyEnvironment, readProxyEnvironment } from "@fleetfoot/proxy-env";
import { createProxyDispatcher } from "@fleetfoot/proxy-env/dispatcher";
import type { ProxyDispatcherOptions } from "@fleetfoot/proxy-env/dispatcher";
import { expect, it } from "vitest";
import { createS3Store } from "./s3-store.ts";
import type { S3StoreOptions } from "./options.ts";

const authentication = { user: "user", password: "p4ss" };

describeWithSystem("minio", (minio) => {
  it("PE A41: what is put through a forward proxy arrives as it was", async () => {
    await using squid = await startSquid({ authentication });
    const bucket = await newBucket(minio());
    const { store, close } = through(squid, { ...access(minio(), bucket), insecure: true });
    const content = randomBytes(3 * 1024 * 1024);
    await store.put("object", bodyOf(content));
    const stored = await minio().request({ method: "GET", path: `/${bucket}/object` });
    expect(sha256(Buffer.from(await stored.arrayBuffer()))).toBe(sha256(content));
    await close();
    await expect
      .poll(() => squid.finishedRequests())
      .toContainEqual(expect.objectContaining({ method: "PUT", status: 200, user: "user" }));
  });

  it("PE A39: a tunnel that the proxy refuses is the proxy's error, not the bucket's", async () => {
    await using squid = await startSquid({ authentication, tunnelPorts: [443] });
    const { store, close } = through(squid, access(minio(), "bucket"));
    const failure: unknown = await store.get("object").catch((error: unknown) => error);
    expect(failure).toMatchObject({
      // Not "access-denied", which is what a bucket's 403 becomes.
      code: "unavailable",
      message: expect.stringContaining(`The proxy ${squid.authority} refused`),
      cause: expect.objectContaining({ code: "proxy-refused", statusCode: 403, retryable: false }),
    });
    await close();
    await expect.poll(() => squid.finishedRequests()).toHaveLength(1);
  });

  it("PE A42: an https endpoint with a certificate of its own authority", async () => {
    await using folder = await makeCertificateFolder();
    const authority = await folder.makeAuthority("authority");
    await using front = await startTlsFront(() => minio().endpoint, await authority.issue());
    await using squid = await startSquid({ authentication, tunnelPorts: [front.port] });
    const bucket = await newBucket(minio());
    const options = { ...access(minio(), bucket), serverAddress: `localhost:${front.port}` };
    const trusting = through(squid, options, { targetTls: { ca: authority.certificate } });
    await trusting.store.put("object", bodyOf("content"));
    expect(await readText(await trusting.store.get("object"))).toBe("content");
    await trusting.close();

    const stranger = through(squid, { ...options, maxAttempts: 1 });
    const failure: unknown = await stranger.store.get("object").catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(new RegExp(`localhost:${front.port} \\(proxied through .*certificate`)),
      cause: expect.objectContaining({ code: "target-connection", target: `localhost:${front.port}` }),
    });
    await stranger.close();
  });
});

describeWithSystem("squid", (squid) => {
  it("PE A46: the proxy sees no request for credentials of the machine, unlike without a portable list", async () => {
    const settings = readProxyEnvironment({ http_proxy: squid().authority });
    await askMachineForCredentials(proxyEnvironment(settings));
    const leaked = await metadataRequests(squid());
    expect(leaked.length).toBeGreaterThan(0);

    await askMachineForCredentials(proxyEnvironment(settings, { noProxy: portableNoProxy([]).value }));
    expect(await metadataRequests(squid())).toEqual(leaked);
    // The proxy was used for everything else.
    const controls = (await squid().finishedRequests()).filter(({ url }) => url === "http://control.invalid/");
    expect(controls).toHaveLength(2);
  });
});

/** A store whose every request goes through the proxy, although it is on this machine. */
function through(
  squid: Squid,
  options: S3StoreOptions,
  dispatcherOptions: Partial<ProxyDispatcherOptions> = {},
): { readonly store: ReturnType<typeof createS3Store>; readonly close: () => Promise<void> } {
  const url = `http://${authentication.user}:${authentication.password}@${squid.authority}`;
  const settings = readProxyEnvironment({ all_proxy: url }, { loopbackBypass: false });
  const dispatcher = createProxyDispatcher({ decide: (target) => decideProxy(settings, target), ...dispatcherOptions });
  return { store: createS3Store({ ...options, dispatcher }), close: () => dispatcher.close() };
}

function access(minio: Minio, bucket: string): S3StoreOptions {
  const { accessKeyId, secretAccessKey, region } = minio;
  return { bucket, serverAddress: new URL(minio.endpoint).host, accessKeyId, secretAccessKey, region };
}

async function newBucket(minio: Minio): Promise<string> {
  const bucket = `bucket-${randomUUID()}`;
  await minio.createBucket(bucket);
  return bucket;
}

/** In a process that Node itself lets use the proxy: one request that anybody may see, then the chain of the SDK. */
async function askMachineForCredentials(proxies: Readonly<Record<string, string>>): Promise<void> {
  const program = `
    import { get } from "node:http";
    import { once } from "node:events";
    import { createS3Store } from "@fleetfoot/cache-backend-s3";
    const [response] = await once(get("http://control.invalid/"), "response");
    response.resume();
    const store = createS3Store({ bucket: "bucket", region: "eu-central-1", maxAttempts: 1 });
    const error = await store.get("object").catch((reason) => reason);
    console.log(error.code, error.message);
  `;
  const output = await runProgram(
    process.execPath,
    ["--conditions=@fleetfoot/source", "--input-type=module", "--eval", program],
    {
      folder: join(import.meta.dirname, ".."),
      environment: { ...systemEnvironment("/nonexistent"), NODE_USE_ENV_PROXY: "1", ...proxies },
    },
  );
  expect(output).toContain("access-denied");
}

async function metadataRequests(squid: Squid): Promise<readonly string[]> {
  return (await squid.finishedRequests()).map(({ url }) => url).filter((url) => url.includes("169.254."));
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
