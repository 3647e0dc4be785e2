import { once } from "node:events";
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { MockAgent } from "undici";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { UpstreamOptions } from "./options.ts";
import { Secret } from "./secret.ts";
import { pushImage, randomContent } from "./testing/images.ts";
import type { PushedImage } from "./testing/images.ts";
import { createManualClock } from "./testing/manual-clock.ts";
import type { ManualClock } from "./testing/manual-clock.ts";
import { serveMirror } from "./testing/serve.ts";
import type { ServedMirror } from "./testing/serve.ts";
import { startTap } from "./testing/tap.ts";
import type { Fault, Tap, TappedRequest } from "./testing/tap.ts";
import { isTrustedRealm } from "./upstream/realm-trust.ts";

const login = { username: "robot", password: new Secret("hunter2-secret") };
const basic = `Basic ${Buffer.from("robot:hunter2-secret").toString("base64")}`;

/** What a token server was asked. */
interface TokenRequest {
  readonly url: URL;
  readonly authorization: string | undefined;
}

describeWithSystem("docker-registry", (registry) => {
  let tap: Tap;
  let clock: ManualClock;
  let mirror: ServedMirror;
  let image: PushedImage;
  let tokenServer: Server;
  let realm: string;
  let tokenRequests: TokenRequest[];
  let tokenAnswer: { status: number; body: object };
  /** Tokens that the registry takes. */
  let good: (authorization: string | undefined) => boolean;

  beforeEach(async () => {
    tap = await startTap(registry().endpoint);
    clock = createManualClock();
    tokenRequests = [];
    tokenAnswer = { status: 200, body: { token: "good", expires_in: 300 } };
    good = (authorization) => authorization === "Bearer good";
    tokenServer = createServer((request, response) => {
      tokenRequests.push({
        url: new URL(request.url ?? "", "http://token"),
        authorization: request.headers.authorization,
      });
      response.writeHead(tokenAnswer.status).end(JSON.stringify(tokenAnswer.body));
    }).listen(0, "127.0.0.1");
    await once(tokenServer, "listening");
    realm = `http://127.0.0.1:${(tokenServer.address() as AddressInfo).port}/token?keep=1`;
    tap.fault = demandToken;
    image = await pushImage(registry().endpoint, "library/app", "v1", {
      layers: [1, 2, 3, 4].map(() => randomContent(5000)),
    });
    mirror = await start();
  });

  afterEach(async () => {
    await mirror[Symbol.asyncDispose]();
    await tap[Symbol.asyncDispose]();
    tokenServer.closeAllConnections();
    tokenServer.close();
  });

  function start(upstream: Partial<UpstreamOptions> = {}): Promise<ServedMirror> {
    return serveMirror({ upstreams: { hub: { url: tap.url, hosts: ["docker.io"], ...upstream } }, clock });
  }

  async function restart(upstream: Partial<UpstreamOptions>): Promise<void> {
    await mirror[Symbol.asyncDispose]();
    mirror = await start(upstream);
  }

  function demandToken({ headers }: TappedRequest): Fault | undefined {
    if (good(headers.authorization)) return undefined;
    return {
      kind: "answer",
      status: 401,
      headers: { "www-authenticate": `Bearer realm="${realm}",service="registry.example",scope="x"` },
    };
  }

  async function pull(): Promise<void> {
    expect((await mirror.send("/v2/library/app/manifests/v1")).status).toBe(200);
    for (const { bytes, digest } of image.layers) {
      expect((await mirror.send(`/v2/library/app/blobs/${digest}`)).body.equals(bytes)).toBe(true);
    }
  }

  it("RM A4: needs one token for a whole image, and no ping", async () => {
    await pull();
    expect(tokenRequests).toHaveLength(1);
    const [{ authorization, url } = { authorization: "", url: new URL("http://x") }] = tokenRequests;
    expect(authorization).toBeUndefined();
    expect(Object.fromEntries(url.searchParams)).toEqual({
      keep: "1",
      service: "registry.example",
      scope: "repository:library/app:pull",
    });
    expect(tap.requests.map(({ target }) => target)).not.toContain("/v2/");
    expect(tap.requests).toHaveLength(6);
  });

  it("RM A5: fetches one token for twenty blobs that are asked for at once", async () => {
    const layers = Array.from({ length: 20 }, () => randomContent(1000));
    await pushImage(registry().endpoint, "library/many", "v1", { layers });
    const answers = await Promise.all(layers.map(({ digest }) => mirror.send(`/v2/library/many/blobs/${digest}`)));
    expect(answers.map(({ status }) => status)).toEqual(layers.map(() => 200));
    expect(tokenRequests).toHaveLength(1);
  });

  it("RM A6, RM G2: uses a token without a lifetime for a minute", async () => {
    tokenAnswer.body = { access_token: "good" };
    const ask = (digest: string | undefined): Promise<unknown> => mirror.send(`/v2/library/app/blobs/${digest}`);
    await ask(image.layers[0]?.digest);
    await clock.advance(45_000);
    await ask(image.layers[1]?.digest);
    expect(tokenRequests).toHaveLength(1);
    await clock.advance(16_000);
    await ask(image.layers[2]?.digest);
    expect(tokenRequests).toHaveLength(2);
  });

  it("RM A7: sends Basic to the registry only, not to where it leads", async () => {
    const seen: (string | undefined)[] = [];
    const storage = createServer((request, response) => {
      seen.push(request.headers.authorization);
      response.end(image.layers[0]?.bytes);
    }).listen(0, "127.0.0.1");
    await once(storage, "listening");
    const location = `http://127.0.0.1:${(storage.address() as AddressInfo).port}/x`;
    tap.fault = ({ headers, target }) => {
      if (headers.authorization !== basic)
        return { kind: "answer", status: 401, headers: { "www-authenticate": 'Basic realm="r"' } };
      return target.includes("/blobs/") ? { kind: "answer", status: 307, headers: { location } } : undefined;
    };
    await restart({ credentials: login, access: "shared", sharedNames: [""] });
    const answer = await mirror.send(`/v2/library/app/blobs/${image.layers[0]?.digest}`);
    expect([answer.status, answer.body.equals(image.layers[0]?.bytes ?? Buffer.alloc(0))]).toEqual([200, true]);
    expect(seen).toEqual([undefined]);
    storage.close();
  });

  it("RM A8, RM G3: sends no credentials to a realm elsewhere, unless it is named", async () => {
    // Another name of the same machine, which shares no domain with the registry's.
    realm = realm.replace("127.0.0.1", "localhost");
    const shared = { credentials: login, access: "shared", sharedNames: [""] } as const;
    await restart(shared);
    expect(await mirror.send("/v2/library/app/manifests/v1")).toMatchObject({ status: 403, code: "DENIED" });
    expect(tokenRequests).toEqual([]);
    const warnings = mirror.log.filter((line) => line.includes("realmHosts"));
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain("localhost");
    await restart({ ...shared, realmHosts: ["localhost"] });
    await pull();
    expect(tokenRequests).toMatchObject([{ authorization: basic }]);
  });

  it("RM A9: neither passes on nor logs what a client sends along", async () => {
    await mirror.send("/v2/library/app/manifests/v1", { headers: { authorization: "Basic Y2xpZW50OnB3" } });
    for (const { headers } of tap.requests) expect(headers.authorization ?? "").not.toContain("Y2xpZW50OnB3");
    expect(tokenRequests).toMatchObject([{ authorization: undefined }]);
    expect(mirror.log.join("\n")).not.toContain("Y2xpZW50OnB3");
  });

  it("RM A10, RM G4: takes a token that opens nothing for a definite no", async () => {
    good = () => false;
    const answer = await mirror.send("/v2/library/app/manifests/v1");
    expect([answer.status, answer.code, answer.headers["www-authenticate"]]).toEqual([403, "DENIED", undefined]);
    expect(tokenRequests).toHaveLength(2);
  });

  it.each([
    [403, 403, "DENIED", "up"],
    [401, 403, "DENIED", "credentials rejected"],
    [404, 502, "UNAVAILABLE", "up"],
  ] as const)("RM G4: makes of a token server's %i a %i", async (status, expected, code, state) => {
    tokenAnswer = { status, body: {} };
    await restart({ credentials: login, access: "shared", sharedNames: [""] });
    const answer = await mirror.send("/v2/library/app/manifests/v1");
    expect([answer.status, answer.code]).toEqual([expected, code]);
    if (status === 404) expect(answer.body.toString()).toContain("registry.example");
    expect(mirror.mirror.status().upstreams).toMatchObject([{ state }]);
    expect(`${mirror.log.join("\n")}${answer.body.toString()}`).not.toContain("hunter2");
  });

  it("says that a registry refuses its credentials, until they are taken again", async () => {
    let taken = "";
    tap.fault = ({ headers }) =>
      headers.authorization === taken
        ? undefined
        : { kind: "answer", status: 401, headers: { "www-authenticate": 'Basic realm="r"' } };
    await restart({ credentials: login, access: "shared", sharedNames: [""] });
    expect((await mirror.send("/v2/library/app/manifests/v1")).status).toBe(403);
    expect(mirror.mirror.status().upstreams).toMatchObject([{ state: "credentials rejected" }]);
    expect(mirror.metric("credentials_rejected_total", { upstream: "hub" })).toBe(1);
    expect(mirror.log.filter((line) => line.includes("it refuses our credentials"))).toHaveLength(1);
    taken = basic;
    expect((await mirror.send("/v2/library/app/manifests/latest")).status).toBe(404);
    expect(mirror.mirror.status().upstreams).toMatchObject([{ state: "up" }]);
  });

  it("RM G1, RM G5: asks a container registry's token server once, for the whole path of the project", async () => {
    await pushImage(registry().endpoint, "group/sub/app/image", "v1", { layers: [...image.layers] });
    await restart({ hosts: ["registry.example.com"], credentials: login, access: "shared", sharedNames: ["^group/"] });
    expect((await mirror.send("/v2/group/sub/app/image/manifests/v1")).status).toBe(200);
    for (const { digest } of image.layers) {
      expect((await mirror.send(`/v2/group/sub/app/image/blobs/${digest}`)).status).toBe(200);
    }
    expect(tokenRequests).toHaveLength(1);
    expect(tokenRequests[0]?.authorization).toBe(basic);
    expect(tokenRequests[0]?.url.searchParams.getAll("scope")).toEqual(["repository:group/sub/app/image:pull"]);
  });

  it("RM E5: serves no private name in mode public, whatever the credentials open", async () => {
    const robot = "Bearer robot";
    good = (authorization) => authorization === robot;
    tokenServer.removeAllListeners("request");
    tokenServer.on("request", (request, response) => {
      response.end(JSON.stringify({ token: request.headers.authorization === basic ? "robot" : "nobody" }));
    });
    await restart({ credentials: login });
    expect(await mirror.send("/v2/library/app/manifests/v1")).toMatchObject({ status: 403, code: "DENIED" });
    expect(await mirror.send(`/v2/library/app/blobs/${image.config.digest}`)).toMatchObject({
      status: 403,
      code: "DENIED",
    });
    expect(mirror.mirror.entries()).toEqual([]);
    expect(mirror.mirror.status().storedBlobs).toBe(0);
  });

  it("uses its credentials for public names in mode public", async () => {
    good = (authorization) => authorization?.startsWith("Bearer ") === true;
    await restart({ credentials: login });
    await pull();
    expect(tokenRequests.map(({ authorization }) => authorization)).toEqual([undefined, basic]);
  });

  it("serves names that want no token after one whose token cannot be had", async () => {
    await restart({});
    realm = "http://169.254.169.254/token";
    tap.fault = (request) => (request.target.includes("/library/private/") ? demandToken(request) : undefined);
    expect((await mirror.send("/v2/library/private/manifests/v1")).status).toBe(502);
    await pull();
  });

  it("RM G13: gives what is cached only to clients whom the upstream lets in, in mode pass-through", async () => {
    good = (authorization) => authorization === "Bearer alice";
    await restart({ access: "pass-through", hosts: ["gitlab.example.com"] });
    const path = "/v2/gitlab.example.com/library/app/manifests/v1";
    const as = async (who: string, target = path): Promise<number> =>
      (await mirror.send(target, { headers: { authorization: `Bearer ${who}` } })).status;
    expect(await as("alice")).toBe(200);
    expect([403, 404]).toContain(await as("bob"));
    expect([403, 404]).toContain((await mirror.send(path)).status);
    const layer = `/v2/gitlab.example.com/library/app/blobs/${image.layers[0]?.digest}`;
    expect(await as("alice", layer)).toBe(200);
    expect([403, 404]).toContain(await as("bob", layer));
    expect(await as("alice", layer)).toBe(200);
  });

  it("tells names and tags to nobody without the upstream's consent, in mode pass-through", async () => {
    good = (authorization) => authorization === "Bearer alice";
    await restart({ access: "pass-through", hosts: ["gitlab.example.com"] });
    const headers = { authorization: "Bearer alice" };
    const path = "/v2/gitlab.example.com/library/app";
    expect((await mirror.send(`${path}/manifests/v1`, { headers })).status).toBe(200);
    tap.fault = () => ({ kind: "answer", status: 500 });
    const tags = await mirror.send(`${path}/tags/list`);
    expect([tags.status, tags.body.toString()]).toEqual([502, expect.not.stringContaining("v1")]);
    expect(JSON.parse((await mirror.send("/v2/_catalog")).body.toString())).toEqual({ repositories: [] });
  });

  it("leaves only the login alone that the upstream asked to wait, in mode pass-through", async () => {
    await restart({ access: "pass-through", hosts: ["gitlab.example.com"] });
    tap.fault = ({ headers }) =>
      headers.authorization === "Bearer busy"
        ? { kind: "answer", status: 429, headers: { "retry-after": "30" } }
        : undefined;
    const as = async (who: string): Promise<number> => {
      const headers = { authorization: `Bearer ${who}` };
      return (await mirror.send("/v2/gitlab.example.com/library/app/manifests/v1", { headers })).status;
    };
    expect([await as("busy"), await as("other"), await as("busy")]).toEqual([429, 200, 429]);
  });

  it.each([
    ["first", ["alice", "bob", "nobody", "mallory"]],
    ["last", ["bob", "nobody", "mallory", "alice"]],
  ])(
    "RM G13: asks for each of several clients that want the same at once, the one let in being the %s",
    async (_, order) => {
      good = (authorization) => authorization === "Bearer alice";
      await restart({ access: "pass-through", hosts: ["gitlab.example.com"] });
      for (const { bytes, digest } of image.layers) {
        // Straight to the mirror: all of them have begun before the upstream is asked for anything.
        const ask = async (who: string): Promise<{ who: string; status: number; body: Buffer }> => {
          const target = `/v2/gitlab.example.com/${who === "mallory" ? "attacker/own" : "library/app"}/blobs/${digest}`;
          const headers: Record<string, string> = who === "nobody" ? {} : { authorization: `Bearer ${who}` };
          const { body, status } = await mirror.mirror.answer({ method: "GET", target, headers });
          if (body === undefined || body instanceof Uint8Array) return { who, status, body: Buffer.from(body ?? "") };
          const chunks: Buffer[] = [];
          for await (const chunk of body) chunks.push(Buffer.from(chunk));
          return { who, status, body: Buffer.concat(chunks) };
        };
        const answers = await Promise.all(order.map(ask));
        for (const { body, status, who } of answers) {
          if (who === "alice") expect([status, body.equals(bytes)]).toEqual([200, true]);
          else expect([403, 404]).toContain(status);
        }
      }
    },
  );
});

describe("a redirect", () => {
  it("from https to http takes no login along, not even to the same host", async () => {
    const agent = new MockAgent();
    agent.disableNetConnect();
    const blob = randomContent(1000);
    const seen: (string | undefined)[] = [];
    const noted = (name: string): ((options: { headers?: unknown }) => { statusCode: number; data: Buffer }) => {
      return ({ headers }) => {
        seen.push(`${name} ${String((headers as Record<string, string>)["authorization"])}`);
        return { statusCode: 200, data: blob.bytes };
      };
    };
    const path = `/v2/org/app/blobs/${blob.digest}`;
    const location = "http://registry.example/stored";
    agent.get("https://registry.example").intercept({ path }).reply(307, "", { headers: { location } });
    agent.get("http://registry.example").intercept({ path: "/stored" }).reply(noted("stored"));
    const upstream = { url: "https://registry.example", hosts: ["registry.example"], access: "pass-through" } as const;
    await using mirror = await serveMirror({ upstreams: { upstream }, dispatcher: agent });
    const headers = { authorization: "Bearer alice" };
    const answer = await mirror.send(`/v2/registry.example/org/app/blobs/${blob.digest}`, { headers });
    expect([answer.status, answer.body.equals(blob.bytes)]).toEqual([200, true]);
    expect(seen).toEqual(["stored undefined"]);
    await agent.close();
  });
});

describe("isTrustedRealm", () => {
  it.each([
    ["https://auth.docker.io/token", "https://registry-1.docker.io", true],
    ["https://gitlab.example.com/jwt/auth", "https://registry.example.com", true],
    ["https://gitlab.example.com/jwt/auth", "https://registry.example.net", false],
    ["http://gitlab.example.com/jwt/auth", "https://registry.example.com", false],
    ["https://other.github.io/token", "https://registry.github.io", false],
    ["https://10.1.2.4/token", "https://10.1.2.3", false],
    ["https://co.uk.evil.example/token", "https://registry.co.uk", false],
    ["ftp://registry.example.com/token", "http://registry.example.com", false],
  ])("is %s for %s: %s", (realmUrl, registryUrl, expected) => {
    expect(isTrustedRealm(new URL(realmUrl), new URL(registryUrl), [])).toBe(expected);
  });
});
