import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { MirrorOptionsError } from "./errors.ts";
import { tagTtlOfCacheValidity } from "./gitlab-images/index.ts";
import type { MirrorOptions, UpstreamOptions } from "./options.ts";
import { readRegistries } from "./routing/registries.ts";
import { candidatesOf } from "./routing/select.ts";
import { Secret } from "./secret.ts";
import { pushImage, randomContent } from "./testing/images.ts";
import { createManualClock } from "./testing/manual-clock.ts";
import type { ManualClock } from "./testing/manual-clock.ts";
import { serveMirror } from "./testing/serve.ts";
import type { ServedMirror } from "./testing/serve.ts";
import { startTap } from "./testing/tap.ts";
import type { Fault, Tap } from "./testing/tap.ts";

const hourMs = 60 * 60_000;
const absent: Fault = { kind: "answer", status: 404 };

describeWithSystem("docker-registry", (registry) => {
  let first: Tap;
  let second: Tap;
  let clock: ManualClock;
  let mirror: ServedMirror;

  beforeEach(async () => {
    first = await startTap(registry().endpoint);
    second = await startTap(registry().endpoint);
    clock = createManualClock();
    mirror = await start();
    await pushImage(registry().endpoint, "org/app", "1");
    await pushImage(registry().endpoint, "org/app", "2");
  });

  afterEach(async () => {
    await mirror[Symbol.asyncDispose]();
    await first[Symbol.asyncDispose]();
    await second[Symbol.asyncDispose]();
  });

  function start(
    one: Partial<UpstreamOptions> = {},
    two: Partial<UpstreamOptions> = {},
    more: Partial<MirrorOptions> = {},
  ): Promise<ServedMirror> {
    return serveMirror({
      upstreams: {
        one: { url: first.url, hosts: ["one.example"], ...one },
        two: { url: second.url, hosts: ["two.example"], ...two },
      },
      virtualRegistries: { ci: { upstreams: ["one", "two"] } },
      clock,
      ...more,
    });
  }

  async function restart(...options: Parameters<typeof start>): Promise<void> {
    await mirror[Symbol.asyncDispose]();
    mirror = await start(...options);
  }

  it("walks for each login by itself when an upstream decides about each client", async () => {
    first.fault = ({ headers }) =>
      headers.authorization === "Bearer alice" ? undefined : { kind: "answer", status: 401 };
    second.fault = () => absent;
    await restart({ access: "pass-through" }, { access: "pass-through" });
    const as = async (who: string): Promise<number> => {
      const headers = { authorization: `Bearer ${who}` };
      const target = "/v2/ci/org/app/manifests/1";
      return (await mirror.mirror.answer({ method: "HEAD", target, headers })).status;
    };
    expect(await Promise.all([as("alice"), as("bob"), as("alice")])).toEqual([200, expect.not.toBeOneOf([200]), 200]);
  });

  const ask = (tag = "1", name = "org/app"): ReturnType<ServedMirror["send"]> =>
    mirror.send(`/v2/ci/${name}/manifests/${tag}`, { method: "HEAD" });
  const askBody = (tag = "1", name = "org/app"): ReturnType<ServedMirror["send"]> =>
    mirror.send(`/v2/ci/${name}/manifests/${tag}`);

  it("RM V1: asks in order, remembers the winner for a day, and then asks in order again", async () => {
    first.fault = () => absent;
    expect((await ask()).status).toBe(200);
    expect([first.take().length, second.take().length]).toEqual([1, 1]);
    expect((await ask("2")).status).toBe(200);
    expect([first.take().length, second.take().length]).toEqual([0, 1]);
    first.fault = () => undefined;
    await clock.advance(25 * hourMs);
    expect((await ask()).status).toBe(200);
    expect([first.take().length, second.take().length]).toEqual([1, 0]);
  });

  it.each([401, 403])("RM V2: takes a %i for: not here", async (status) => {
    first.fault = () => ({ kind: "answer", status });
    expect((await ask()).status).toBe(200);
  });

  interface Failure {
    readonly of: string;
    /** How it answers; undefined: it takes no connections. */
    readonly fault: Fault | undefined;
    /** How long it is waited for. */
    readonly waitMs: number;
  }

  const failures: readonly Failure[] = [
    { of: "a 429", fault: { kind: "answer", status: 429, headers: { "retry-after": "30" } }, waitMs: 0 },
    { of: "a 500", fault: { kind: "answer", status: 500 }, waitMs: 0 },
    { of: "a reset", fault: { kind: "reset" }, waitMs: 0 },
    { of: "a refused connection", fault: undefined, waitMs: 0 },
    { of: "the silence", fault: { kind: "hang" }, waitMs: 4000 },
  ];

  /** Asks while the first fails; the result mends it. */
  async function askDuring({ fault, waitMs }: Failure): Promise<{
    readonly answer: Awaited<ReturnType<typeof ask>>;
    readonly mend: () => Promise<void>;
  }> {
    let mend = async (): Promise<void> => {
      first.fault = () => undefined;
    };
    if (fault === undefined) mend = await first.goDown();
    else first.fault = () => fault;
    const asking = ask();
    if (waitMs > 0) {
      await clock.waitsFor(waitMs);
      await clock.advance(waitMs);
    }
    return { answer: await asking, mend };
  }

  it.each(failures)(
    "RM V3: serves a known tag after $of of its upstream, without asking the others",
    async (failure) => {
      const pulled = await askBody();
      const { config, layers } = JSON.parse(pulled.body.toString()) as {
        config: { digest: string };
        layers: { digest: string }[];
      };
      for (const { digest } of [config, ...layers])
        expect((await mirror.send(`/v2/ci/org/app/blobs/${digest}`)).status).toBe(200);
      await clock.advance(25 * hourMs);
      const { answer, mend } = await askDuring(failure);
      expect([answer.status, answer.headers["x-cache"]]).toEqual([200, "stale"]);
      expect(answer.headers["docker-content-digest"]).toBe(pulled.headers["docker-content-digest"]);
      expect(answer.headers["warning"]).toMatch(/^299 - ".*one/);
      expect(second.take()).toEqual([]);
      await mend();
    },
  );

  it.each(failures)(
    "RM V4: takes an unknown tag from the second after $of of the first, for a minute",
    async (failure) => {
      const { answer, mend } = await askDuring(failure);
      expect(answer.status).toBe(200);
      expect(answer.headers["warning"]).toMatch(/^299 - ".*one/);
      expect(mirror.metric("failovers_total", { upstream: "one" })).toBe(1);
      expect(mirror.mirror.entries().map(({ upstream, winnerOf }) => [upstream, winnerOf])).toEqual([["two", []]]);
      await mend();
      first.take();
      await clock.advance(30_000);
      expect((await ask()).headers["x-cache"]).toBe("hit");
      expect(first.take()).toEqual([]);
      await clock.advance(31_000);
      const again = await ask();
      expect([again.status, again.headers["warning"]]).toEqual([200, undefined]);
      expect(first.take()).toEqual(["HEAD /v2/org/app/manifests/1"]);
      expect(mirror.mirror.entries({ upstream: "one" })[0]?.winnerOf).toEqual(["ci"]);
    },
  );

  it.each([
    ["404, 404", absent, absent, 404, "MANIFEST_UNKNOWN"],
    ["404, 503", absent, { kind: "answer", status: 503 }, 502, "UNAVAILABLE"],
    ["404, 429", absent, { kind: "answer", status: 429, headers: { "retry-after": "30" } }, 429, "TOOMANYREQUESTS"],
    ["401, 403", { kind: "answer", status: 401 }, { kind: "answer", status: 403 }, 403, "DENIED"],
  ] as readonly (readonly [string, Fault, Fault, number, string])[])(
    "RM V5: sums %s up, without addresses",
    async (_, one, two, status, code) => {
      first.fault = () => one;
      second.fault = () => two;
      const answer = await askBody();
      expect([answer.status, answer.code]).toEqual([status, code]);
      expect(answer.body.toString()).toMatch(/one: \d+, two: \d+/);
      expect(answer.body.toString()).not.toContain("127.0.0.1");
      if (status === 429) expect(Number(answer.headers["retry-after"])).toBeLessThanOrEqual(30);
    },
  );

  it("RM V5: gives up within 12 seconds when nobody answers", async () => {
    first.fault = second.fault = () => ({ kind: "hang" });
    const startedAt = clock.now();
    const progress: { isOver: boolean } = { isOver: false };
    const answered = askBody().finally(() => {
      progress.isOver = true;
    });
    await clock.waitsFor(4000);
    while (!progress.isOver && clock.now() - startedAt < 20_000) {
      await clock.advance(250);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect(clock.now() - startedAt).toBeLessThanOrEqual(12_000);
    expect((await answered).status).toBe(504);
  });

  it("RM V6: shows a name that belongs to one upstream to no other", async () => {
    await restart({ exclusive: ["^platform/"] });
    first.fault = () => ({ kind: "reset" });
    expect((await askBody("1", "platform/app")).status).toBe(502);
    first.fault = () => absent;
    await clock.advance(11_000);
    expect((await askBody("1", "platform/app")).status).toBe(404);
    expect(second.take()).toEqual([]);
  });

  it("RM V7: stops at an upstream that says so", async () => {
    await restart({ onFailure: "stop" });
    first.fault = () => ({ kind: "answer", status: 500 });
    expect((await askBody()).status).toBe(502);
    expect(second.take()).toEqual([]);
  });

  it("RM V8: renews each upstream's tags in its own time", async () => {
    await using third = await startTap(registry().endpoint);
    await mirror[Symbol.asyncDispose]();
    mirror = await serveMirror({
      upstreams: {
        day: { url: first.url, tagTtlMs: 24 * hourMs, allow: ["^day/"] },
        half: { url: second.url, tagTtlMs: 12 * hourMs, allow: ["^half/"] },
        two: { url: third.url, tagTtlMs: 48 * hourMs, allow: ["^two/"] },
      },
      virtualRegistries: { ci: { upstreams: ["day", "half", "two"], winnerTtlMs: 1000 * hourMs } },
      clock,
    });
    const minuteMs = 60_000;
    for (const name of ["day/x", "half/x", "two/x"]) await pushImage(registry().endpoint, name, "1");
    const round = async (): Promise<readonly number[]> => {
      for (const name of ["day/x", "half/x", "two/x"]) expect((await ask("1", name)).status).toBe(200);
      return [first.take().length, second.take().length, third.take().length];
    };
    expect(await round()).toEqual([1, 1, 1]);
    await clock.advance(12 * hourMs - minuteMs);
    expect(await round()).toEqual([0, 0, 0]);
    await clock.advance(2 * minuteMs);
    expect(await round()).toEqual([0, 1, 0]);
    await clock.advance(12 * hourMs + minuteMs);
    expect(await round()).toEqual([1, 1, 0]);
    await clock.advance(24 * hourMs + minuteMs);
    expect(await round()).toEqual([1, 1, 1]);
  });

  it("RM V9: believes tags for a day in a list, for a minute elsewhere, never, or for ever", async () => {
    const direct = (): ReturnType<ServedMirror["send"]> =>
      mirror.send("/v2/one.example/org/app/manifests/1", { method: "HEAD" });
    await ask();
    await direct();
    await clock.advance(61_000);
    first.take();
    await ask();
    expect(first.take()).toEqual([]);
    await direct();
    expect(first.take()).toHaveLength(1);
    await restart({ tagTtlMs: 0 });
    await ask();
    await ask();
    expect(first.take()).toHaveLength(2);
    // "Forever" is also what GitLab means with 0 hours.
    for (const tagTtlMs of ["forever", tagTtlOfCacheValidity(0)] as const) {
      await restart({ tagTtlMs });
      await ask();
      await clock.advance(1000 * 24 * hourMs);
      first.take();
      await ask();
      expect(first.take().length + second.take().length).toBe(0);
    }
  });

  it("RM V10, RM V11: refuses a denied name in every request, also when it is cached, and its digests under other names", async () => {
    const pushed = await pushImage(registry().endpoint, "org/app-alpha", "1");
    const directory = mirror.directory;
    expect((await askBody("1", "org/app-alpha")).status).toBe(200);
    expect((await mirror.send(`/v2/ci/org/app-alpha/blobs/${pushed.config.digest}`)).status).toBe(200);
    await mirror.mirror.close();
    const deny = ["-alpha$"];
    const denying = await start({ deny }, { deny }, { directory });
    first.take();
    second.take();
    for (const path of [
      "manifests/1",
      `manifests/${pushed.manifest.digest}`,
      `blobs/${pushed.config.digest}`,
      "tags/list",
      `referrers/${pushed.manifest.digest}`,
    ]) {
      for (const prefix of ["ci/", "one.example/"]) {
        expect(await denying.send(`/v2/${prefix}org/app-alpha/${path}`)).toMatchObject({ status: 403, code: "DENIED" });
      }
    }
    expect([first.take(), second.take()]).toEqual([[], []]);
    expect((await denying.send(`/v2/ci/org/app/blobs/${pushed.config.digest}`)).status).toBe(404);
    expect((await denying.send(`/v2/ci/org/app/manifests/${pushed.manifest.digest}`)).status).toBe(404);
    await denying[Symbol.asyncDispose]();
  });

  it("RM V15: walks no list for a request that names its registry", async () => {
    await restart({}, { hosts: ["docker.io"] }, { defaultRegistry: "ci" });
    expect(mirror.log.filter((line) => line.startsWith("warn") && line.includes("Docker Hub"))).toHaveLength(1);
    expect((await mirror.send("/v2/org/app/manifests/1?ns=docker.io", { method: "HEAD" })).status).toBe(200);
    expect([first.take().length, second.take().length]).toEqual([0, 1]);
  });

  it.each([absent, { kind: "answer", status: 500 } as const])(
    "RM V17: takes a blob from the second when the first cannot give it",
    async (fault) => {
      const pushed = await pushImage(registry().endpoint, "org/app", "1");
      await askBody();
      first.fault = ({ target }) => (target.includes("/blobs/") ? fault : undefined);
      const answer = await mirror.send(`/v2/ci/org/app/blobs/${pushed.config.digest}`);
      expect([answer.status, answer.body.equals(pushed.config.bytes)]).toEqual([200, true]);
    },
  );

  it.each(["ns=two.example", "the virtual registry"])(
    "sends nobody away because another upstream has broken the blob off: %s",
    async (way) => {
      const { config, layers } = await pushImage(registry().endpoint, "org/app", "1", {
        layers: [randomContent(3_000_000)],
      });
      const digest = layers[0]?.digest;
      await askBody();
      first.fault = ({ target }) =>
        target.includes(`/blobs/${digest}`) ? { kind: "stall", afterBytes: 1_000_000 } : undefined;
      const pulled = mirror.send(`/v2/org/app/blobs/${digest}?ns=one.example`);
      while ((mirror.mirror.status().fills[0]?.receivedBytes ?? 0) < 1_000_000)
        await new Promise((resolve) => setImmediate(resolve));
      await clock.advance(13_000);
      expect((await pulled).isCut).toBe(true);
      const path = way.startsWith("ns") ? `/v2/org/app/blobs/${digest}?${way}` : `/v2/ci/org/app/blobs/${digest}`;
      const headers = { range: "bytes=999999-" };
      const rest = await mirror.send(path, { headers });
      expect([rest.status, rest.body.equals(layers[0]?.bytes.subarray(999_999) ?? config.bytes)]).toEqual([206, true]);
      expect(first.take().filter((request) => request.includes(`blobs/${digest}`))).toHaveLength(2);
    },
  );

  it("walks on after four seconds past an upstream that does not say whether a name is public", async () => {
    const credentials = { username: "robot", password: new Secret("hunter2") };
    await restart({ credentials });
    first.fault = () => ({ kind: "hang" });
    const answer = askBody();
    while (first.requests.length === 0) await new Promise((resolve) => setImmediate(resolve));
    await clock.advance(4000);
    expect(await answer).toMatchObject({ status: 200, headers: { warning: expect.stringContaining("one") } });
  });

  it("RM V18: walks once for twenty clients that want the same unknown name", async () => {
    first.fault = second.fault = () => absent;
    const answers = await Promise.all(Array.from({ length: 20 }, () => askBody("1", "org/none")));
    expect(answers.every(({ status }) => status === 404)).toBe(true);
    expect([first.take().length, second.take().length]).toEqual([1, 1]);
  });

  it("RM V19: walks on past an upstream whose token server refuses our password, and says so once a minute", async () => {
    const tokenServer = createServer((_, response) => response.writeHead(401).end()).listen(0, "127.0.0.1");
    await once(tokenServer, "listening");
    const realm = `http://127.0.0.1:${(tokenServer.address() as AddressInfo).port}/token`;
    await using third = await startTap(registry().endpoint);
    const credentials = { username: "robot", password: new Secret("hunter2") };
    await restart(
      {},
      { credentials, access: "shared", sharedNames: [""] },
      {
        upstreams: {
          one: { url: first.url },
          two: { url: second.url, hosts: ["two.example"], credentials, access: "shared", sharedNames: [""] },
          three: { url: third.url, hosts: ["three.example"] },
        },
        virtualRegistries: { ci: { upstreams: ["one", "two", "three"] } },
      },
    );
    first.fault = () => absent;
    second.fault = () => ({
      kind: "answer",
      status: 401,
      headers: { "www-authenticate": `Bearer realm="${realm}",service="two"` },
    });
    const lines = (): number => mirror.log.filter((line) => line.includes("refuses our credentials")).length;
    expect((await ask()).status).toBe(200);
    await pushImage(registry().endpoint, "org/second", "1");
    expect((await ask("1", "org/second")).status).toBe(200);
    expect([mirror.metric("credentials_rejected_total", { upstream: "two" }), lines()]).toEqual([2, 1]);
    expect(mirror.mirror.status().upstreams).toMatchObject([
      { id: "one", state: "up" },
      { id: "two", state: "credentials rejected" },
      { id: "three", state: "up" },
    ]);
    await clock.advance(61_000);
    await pushImage(registry().endpoint, "org/third", "1");
    expect((await ask("1", "org/third")).status).toBe(200);
    expect(lines()).toBe(2);
    expect(mirror.log.join()).not.toContain("hunter2");
    tokenServer.close();
  });

  it("RM V21: forgets who had a name, and what it said, when an upstream is taken from the list or has moved", async () => {
    const directory = await mkdtemp(join(tmpdir(), "winners-"));
    const taken = (): readonly number[] => [first.take().length, second.take().length];
    const winners = (): unknown => mirror.mirror.entries().map(({ upstream, winnerOf }) => [upstream, winnerOf]);
    await restart({}, {}, { directory });
    first.fault = () => absent;
    expect((await ask()).status).toBe(200);
    expect((await ask("2")).status).toBe(200);
    // The first is asked once; from then on the winner is.
    expect(taken()).toEqual([1, 2]);
    expect(winners()).toEqual([
      ["two", ["ci"]],
      ["two", ["ci"]],
    ]);

    await restart({}, {}, { directory, virtualRegistries: { ci: { upstreams: ["one"] } } });
    expect(winners()).toEqual([
      ["two", []],
      ["two", []],
    ]);
    expect((await ask()).status).toBe(404);
    expect(taken()).toEqual([1, 0]);

    await using moved = await startTap(registry().endpoint);
    await restart({}, { url: moved.url }, { directory });
    expect(winners()).toEqual([]);
    expect((await ask()).status).toBe(200);
    expect([...taken(), moved.take().length]).toEqual([1, 0, 1]);
    expect(winners()).toEqual([["two", ["ci"]]]);
    await mirror[Symbol.asyncDispose]();
    mirror = await start();
    await rm(directory, { recursive: true });
  });

  it("RM V20: lists and purges what is cached of one upstream, by a part of the name", async () => {
    await ask();
    await askBody("2");
    await mirror.send("/v2/two.example/org/app/manifests/1", { method: "HEAD" });
    const entries = mirror.mirror.entries({ upstream: "one", search: "app" });
    expect(entries.map(({ name, upstream }) => [name, upstream])).toEqual(entries.map(() => ["org/app", "one"]));
    expect(entries).toHaveLength(3);
    expect(entries[0]).toMatchObject({
      reference: "1",
      checkedAtMs: clock.now(),
      freshUntilMs: clock.now() + 24 * hourMs,
      winnerOf: ["ci"],
    });
    expect(await mirror.mirror.purge({ upstream: "one", search: "app" })).toBe(3);
    expect(mirror.mirror.entries().map(({ upstream }) => upstream)).toEqual(["two"]);
  });
});

describe("names and settings", () => {
  it("RM V14: calls an image what each upstream calls it", () => {
    const registries = readRegistries({
      upstreams: {
        hub: { url: "https://registry-1.docker.io" },
        mcr: { url: "https://mcr.microsoft.com" },
        ecr: { url: "https://public.ecr.aws", addPrefix: "docker/library" },
      },
      virtualRegistries: { ci: { upstreams: ["hub", "mcr", "ecr"] } },
    });
    const ci = registries.virtual.get("ci");
    if (ci === undefined) throw new Error("there is no list");
    expect(candidatesOf(ci, "python").map(({ name }) => name)).toEqual([
      "library/python",
      "python",
      "docker/library/python",
    ]);
    expect(
      candidatesOf(ci, "dotnet/sdk")
        .map(({ name }) => name)
        .slice(0, 2),
    ).toEqual(["dotnet/sdk", "dotnet/sdk"]);
    expect(candidatesOf(ci, "library/python")[1]?.name).toBe("library/python");
  });

  it("RM V12: lets deny go before allow, and tells all bad patterns at once", () => {
    const problemsOf = (options: Partial<UpstreamOptions>): readonly string[] => {
      try {
        readRegistries({ upstreams: { hub: { url: "https://registry-1.docker.io", ...options } } });
        return [];
      } catch (error) {
        if (!(error instanceof MirrorOptionsError)) throw error;
        return error.problems;
      }
    };
    expect(problemsOf({ allow: ["(?=x)", "^good$"], deny: ["(a)\\1", "["] })).toHaveLength(3);
    for (const url of ["https://a.example/v2", "https://a.example/hub/v2/"]) {
      expect(problemsOf({ url })).toEqual([expect.stringContaining("must be without /v2")]);
    }
    const { upstreams } = readRegistries({
      upstreams: { hub: { url: "https://registry-1.docker.io", allow: ["^org/"], deny: ["^org/x$"] } },
      virtualRegistries: { ci: { upstreams: ["hub"] } },
    });
    expect(upstreams.get("hub")?.deny.matches("org/x")).toBe(true);
  });

  it.each(["ci.x", "localhost", "a:1", "a/b", ""])("RM V16: refuses the id %j for a list", (id) => {
    expect(() =>
      readRegistries({
        upstreams: { hub: { url: "https://registry-1.docker.io" } },
        virtualRegistries: { [id]: { upstreams: ["hub"] } },
      }),
    ).toThrow(MirrorOptionsError);
  });

  it("tells every problem, and no password", () => {
    try {
      readRegistries({
        upstreams: { "a/b": { url: "https://user:hunter2@x.example" }, c: { url: "nonsense" } },
        virtualRegistries: { ci: { upstreams: ["nobody"] } },
        defaultRegistry: "no",
      });
      throw new Error("it was accepted");
    } catch (error) {
      if (!(error instanceof MirrorOptionsError)) throw error;
      expect(error.problems.length).toBeGreaterThanOrEqual(5);
      expect(error.message).not.toContain("hunter2");
    }
  });
});
