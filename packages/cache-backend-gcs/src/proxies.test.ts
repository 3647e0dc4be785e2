import { randomUUID } from "node:crypto";
import { makeCertificateFolder, startFakeGcsServer, startSquid, startTlsFront } from "@fleetfoot-tooling/systems";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { bodyOf, readText } from "@fleetfoot/cache-backend/testing";
import { decideProxy, readProxyEnvironment } from "@fleetfoot/proxy-env";
import { createProxyDispatcher } from "@fleetfoot/proxy-env/dispatcher";
import { expect, it } from "vitest";
import { createGcsStore } from "./gcs-store.ts";

const authentication = { user: "user", password: "p4ss" };

describeWithSystem("fake-gcs-server", () => {
  it("PE A42: an https endpoint with a certificate of its own authority, through a proxy", async () => {
    await using folder = await makeCertificateFolder();
    const authority = await folder.makeAuthority("authority");
    const bucket = `bucket-${randomUUID()}`;
    let behind = "";
    await using front = await startTlsFront(() => behind, await authority.issue());
    const endpoint = `https://localhost:${front.port}`;
    await using gcs = await startFakeGcsServer({ publicUrl: endpoint });
    behind = gcs.endpoint;
    await gcs.createBucket(bucket);
    await using squid = await startSquid({ authentication, tunnelPorts: [front.port] });
    const options = { bucket, endpoint };
    // The service is on this machine, where no proxy would be asked otherwise.
    const variables = { https_proxy: `http://user:p4ss@${squid.authority}` };
    const settings = readProxyEnvironment(variables, { loopbackBypass: false });
    const decide = (url: URL) => decideProxy(settings, url);

    const trusting = createProxyDispatcher({ decide, targetTls: { ca: authority.certificate } });
    const store = createGcsStore({ ...options, dispatcher: trusting });
    await store.put("object", bodyOf("content"));
    expect(await readText(await store.get("object"))).toBe("content");
    await trusting.close();
    await expect
      .poll(() => squid.finishedRequests())
      .toContainEqual({ method: "CONNECT", url: `localhost:${front.port}`, status: 200, user: "user" });

    const stranger = createProxyDispatcher({ decide });
    const refused = createGcsStore({ ...options, dispatcher: stranger, maxAttempts: 1 }).get("object");
    await expect(refused).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(new RegExp(`localhost:${front.port} \\(proxied through .*certificate`)),
    });
    await stranger.close();
  });
});
