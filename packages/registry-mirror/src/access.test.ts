import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createMemoryStore } from "@fleetfoot/cache-backend";
import { describeWithSystem } from "@fleetfoot-tooling/systems/vitest";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { MirrorOptions, UpstreamOptions } from "./options.ts";
import type { RegistryMirror } from "./registry-mirror.ts";
import { Secret } from "./secret.ts";
import { pushImage, randomContent } from "./testing/images.ts";
import type { PushedImage } from "./testing/images.ts";
import { createManualClock } from "./testing/manual-clock.ts";
import type { ManualClock } from "./testing/manual-clock.ts";
import { serveMirror } from "./testing/serve.ts";
import type { ServedMirror } from "./testing/serve.ts";
import { startTap } from "./testing/tap.ts";
import type { Tap } from "./testing/tap.ts";

type Who = "alice" | "bob" | "nobody" | "robot";

const credentials = { username: "robot", password: new Secret("hunter2-secret") };
const logins: ReadonlyMap<string | undefined, Who> = new Map<string | undefined, Who>([
  [undefined, "nobody"],
  ["Bearer alice", "alice"],
  ["Bearer bob", "bob"],
  [`Basic ${Buffer.from("robot:hunter2-secret").toString("base64")}`, "robot"],
]);

const settings = {
  public: {},
  "public, with a login": { credentials },
  shared: { access: "shared", sharedNames: ["^org/"], credentials },
  "shared for other names": { access: "shared", sharedNames: ["^other/"], credentials },
  "shared without a login": { access: "shared", sharedNames: ["^org/"] },
  "pass-through": { access: "pass-through" },
} satisfies Record<string, Partial<UpstreamOptions>>;
type Setting = keyof typeof settings;

/** What was cached with one setting, and is asked for with another. */
interface Change {
  readonly before: Setting;
  /** @default nobody */
  readonly by?: Who;
  /** Whom the registry lets in. @default everybody */
  readonly letIn?: readonly Who[];
  readonly after: Setting;
  /** Who asks then. @default nobody */
  readonly client?: Who;
  /** @default letIn */
  readonly letInAfter?: readonly Who[];
  readonly expected: "given" | "given while it is up" | "refused" | "refused while it is up";
}

const everybody: readonly Who[] = ["alice", "bob", "nobody", "robot"];
const layers = [randomContent(5000)];

describeWithSystem("docker-registry", (registry) => {
  let tap: Tap;
  let clock: ManualClock;
  let directory: string;
  let mirror: ServedMirror;
  let image: PushedImage;
  /** Whom the registry lets in. */
  let letIn: readonly Who[];

  beforeEach(async () => {
    tap = await startTap(registry().endpoint);
    tap.fault = ({ headers }) => {
      if (letIn.includes(logins.get(headers.authorization) ?? "nobody")) return undefined;
      return { kind: "answer", status: 401, headers: { "www-authenticate": 'Basic realm="r"' } };
    };
    letIn = everybody;
    clock = createManualClock();
    directory = await mkdtemp(join(tmpdir(), "access-"));
    image = await pushImage(registry().endpoint, "org/app", "v1", { layers });
  });

  afterEach(async () => {
    await mirror[Symbol.asyncDispose]();
    await tap[Symbol.asyncDispose]();
    await rm(directory, { recursive: true, force: true });
  });

  function start(setting: Setting, options: Partial<MirrorOptions> = {}): Promise<ServedMirror> {
    const upstream = { url: tap.url, hosts: ["registry.example"], ...settings[setting] };
    return serveMirror({ upstreams: { upstream }, clock, directory, ...options });
  }

  /** What a client may ask for, by a short name. */
  function questions(): ReadonlyMap<string, readonly ["GET" | "HEAD", string, Readonly<Record<string, string>>?]> {
    const layer = `blobs/${layers[0]?.digest}`;
    return new Map([
      ["HEAD of the tag", ["HEAD", "manifests/v1"]],
      ["the tag", ["GET", "manifests/v1"]],
      ["HEAD of the manifest", ["HEAD", `manifests/${image.manifest.digest}`]],
      ["the manifest", ["GET", `manifests/${image.manifest.digest}`]],
      ["HEAD of a layer", ["HEAD", layer]],
      ["a layer", ["GET", layer]],
      ["a part of a layer", ["GET", layer, { range: "bytes=100-199" }]],
      ["the configuration", ["GET", `blobs/${image.config.digest}`]],
      ["the list of tags", ["GET", "tags/list"]],
      ["referrers", ["GET", `referrers/${image.manifest.digest}`]],
    ]);
  }

  /** What somebody gets, in mirror mode and in CONNECT mode alike. */
  async function given(by: RegistryMirror, who: Who): Promise<readonly string[]> {
    const got = new Set<string>();
    for (const door of [{}, { registry: "registry.example" }]) {
      for (const [title, [method, path, more]] of questions()) {
        const headers: Record<string, string> = who === "nobody" ? {} : { authorization: `Bearer ${who}` };
        const request = { method, target: `/v2/org/app/${path}`, headers: { ...headers, ...more }, ...door };
        const { body, status } = await by.answer(request);
        if (body !== undefined && !(body instanceof Uint8Array)) for await (const chunk of body) void chunk;
        if (status < 300) got.add(title);
      }
      const { body } = await by.answer({ method: "GET", target: "/v2/_catalog", headers: {}, ...door });
      if (Buffer.from(body as Uint8Array).includes("org/app")) got.add("the catalog");
    }
    return [...got].sort();
  }

  function everything(...without: readonly string[]): readonly string[] {
    return [...questions().keys(), "the catalog"].filter((title) => !without.includes(title)).sort();
  }

  describe.each(["up", "down"])("while the upstream is %s", (state) => {
    it.each(
      describedRows([
        { before: "public", after: "public", expected: "given" },
        { before: "public", after: "public, with a login", expected: "given" },
        { before: "public", after: "shared", expected: "given" },
        { before: "public", after: "shared for other names", expected: "given" },
        { before: "public", after: "shared without a login", expected: "given" },
        { before: "public", after: "pass-through", expected: "given while it is up" },
        { before: "public, with a login", after: "public, with a login", expected: "given" },
        { before: "public, with a login", after: "public", expected: "given" },
        { before: "public, with a login", after: "shared for other names", expected: "given" },
        { before: "shared", letIn: ["robot"], after: "shared", expected: "given" },
        { before: "shared", letIn: ["robot"], after: "public", expected: "refused" },
        { before: "shared", letIn: ["robot"], after: "public, with a login", expected: "refused" },
        { before: "shared", letIn: ["robot"], after: "shared for other names", expected: "refused" },
        { before: "shared", letIn: ["robot"], after: "shared without a login", expected: "refused" },
        { before: "shared", letIn: ["robot"], after: "pass-through", expected: "refused" },
        { before: "shared", letIn: ["alice", "robot"], after: "pass-through", client: "bob", expected: "refused" },
        {
          before: "shared",
          letIn: ["alice", "robot"],
          after: "pass-through",
          client: "alice",
          expected: "given while it is up",
        },
        { before: "shared", after: "public", expected: "given while it is up" },
        { before: "shared", after: "public, with a login", expected: "given while it is up" },
        { before: "shared for other names", after: "shared", expected: "given" },
        { before: "pass-through", by: "alice", letIn: ["alice"], after: "public", expected: "refused" },
        { before: "pass-through", by: "alice", letIn: ["alice"], after: "public, with a login", expected: "refused" },
        { before: "pass-through", by: "alice", letIn: ["alice"], after: "shared", expected: "refused" },
        { before: "pass-through", by: "alice", letIn: ["alice"], after: "shared for other names", expected: "refused" },
        {
          before: "pass-through",
          by: "alice",
          letIn: ["alice", "robot"],
          after: "shared",
          expected: "given while it is up",
        },
        { before: "pass-through", by: "alice", after: "public", expected: "given while it is up" },
        { before: "pass-through", by: "nobody", after: "public", expected: "given" },
        { before: "pass-through", by: "nobody", after: "shared", expected: "given" },
        {
          before: "pass-through",
          by: "alice",
          letIn: ["alice"],
          after: "pass-through",
          client: "alice",
          expected: "given while it is up",
        },
        {
          before: "pass-through",
          by: "alice",
          letIn: ["alice"],
          after: "pass-through",
          client: "bob",
          expected: "refused",
        },
        {
          before: "public, with a login",
          letInAfter: ["robot"],
          after: "public, with a login",
          expected: "refused while it is up",
        },
      ]),
    )("RM E5, RM K17: $row", async ({ after, before, by, client, expected, letInAfter, letInBefore }) => {
      letIn = letInBefore;
      mirror = await start(before);
      const pulled = await given(mirror.mirror, by);
      expect(pulled).toEqual(before === "pass-through" ? everything("the catalog") : everything());
      await mirror[Symbol.asyncDispose]();
      letIn = letInAfter;
      if (state === "down") await tap.goDown();
      mirror = await start(after);
      const ifGiven = state === "up" ? "given while it is up" : "refused while it is up";
      const isGiven = expected === "given" || expected === ifGiven;
      const never = [
        ...(after === "pass-through" ? ["the catalog"] : []),
        // Nothing of them is kept.
        ...(state === "down" ? ["referrers"] : []),
      ];
      const got = await given(mirror.mirror, client);
      expect(got).toEqual(isGiven ? everything(...never) : []);
    });
  });

  it.each<{ readonly setting: Setting }>([
    { setting: "public" },
    { setting: "public, with a login" },
    { setting: "shared" },
    { setting: "shared for other names" },
  ])("asks the upstream nothing for a second pull: $setting", async ({ setting }) => {
    mirror = await start(setting);
    await given(mirror.mirror, "nobody");
    tap.take();
    expect(await given(mirror.mirror, "nobody")).toEqual(everything());
    const referrers = image.manifest.digest.replace("sha256:", "");
    expect(tap.take().filter((request) => !request.includes(referrers))).toEqual([]);
  });

  it.each<{ readonly setting: Setting; readonly letInThen: readonly Who[]; readonly learntAfterMs: number }>([
    { setting: "public, with a login", letInThen: ["robot"], learntAfterMs: 25 * 60 * 60_000 },
    { setting: "shared for other names", letInThen: ["robot"], learntAfterMs: 25 * 60 * 60_000 },
    { setting: "shared", letInThen: [], learntAfterMs: 61_000 },
  ])(
    "gives nothing any more of a name that the upstream has withdrawn, also when that is down or the mirror starts anew: $setting",
    async ({ learntAfterMs, letInThen, setting }) => {
      mirror = await start(setting);
      await given(mirror.mirror, "nobody");
      letIn = letInThen;
      await clock.advance(learntAfterMs);
      expect(await given(mirror.mirror, "nobody")).toEqual([]);
      const comeBack = await tap.goDown();
      await clock.advance(10 * 60_000);
      expect(await given(mirror.mirror, "nobody")).toEqual([]);
      await mirror[Symbol.asyncDispose]();
      mirror = await start(setting);
      expect(await given(mirror.mirror, "nobody")).toEqual([]);
      await comeBack();
      letIn = everybody;
      await clock.advance(10 * 60_000);
      expect(await given(mirror.mirror, "nobody")).toEqual(everything());
    },
  );

  it("lets nobody join what is still being fetched under a name that was withdrawn meanwhile", async () => {
    mirror = await start("shared");
    const target = `/v2/org/app/blobs/${layers[0]?.digest}`;
    const gate = Promise.withResolvers<void>();
    const refusing = tap.fault;
    tap.fault = (request) =>
      letIn.length > 0 && request.target === target && request.headers.authorization !== undefined
        ? { kind: "gate", afterBytes: 1000, opened: gate.promise }
        : refusing(request);
    await mirror.mirror.answer({ method: "GET", target: "/v2/org/app/manifests/v1", headers: {} });
    const early = await mirror.mirror.answer({ method: "GET", target, headers: {} });
    letIn = [];
    await mirror.mirror.answer({ method: "HEAD", target: "/v2/org/app/manifests/v2", headers: {} });
    expect((await mirror.mirror.answer({ method: "GET", target, headers: {} })).status).toBe(403);
    gate.resolve();
    expect(early.status).toBe(200);
    if (early.body !== undefined && !(early.body instanceof Uint8Array)) await early.body.return();
  });

  it("goes on giving a public name for which it has a login when the day is over and the upstream is down", async () => {
    mirror = await start("public, with a login");
    await given(mirror.mirror, "nobody");
    await tap.goDown();
    await clock.advance(25 * 60 * 60_000);
    expect(await given(mirror.mirror, "nobody")).toEqual(everything("referrers"));
  });

  it("goes on giving a public image for which it has a login when the upstream has deleted it, but not its tag", async () => {
    mirror = await start("public, with a login");
    await given(mirror.mirror, "nobody");
    tap.fault = () => ({ kind: "answer", status: 404 });
    await clock.advance(25 * 60 * 60_000);
    const gone = ["HEAD of the tag", "the tag", "the list of tags"];
    expect(await given(mirror.mirror, "nobody")).toEqual(everything(...gone));
  });

  it("asks once for a tag that an upstream with a login does not have", async () => {
    mirror = await start("public, with a login");
    tap.fault = () => ({ kind: "answer", status: 404 });
    const request = { method: "GET", target: "/v2/org/app/manifests/v9", headers: {} };
    for (let tries = 0; tries < 10; tries += 1) expect((await mirror.mirror.answer(request)).status).toBe(404);
    expect(tap.take()).toEqual(["HEAD /v2/org/app/manifests/v9", "GET /v2/org/app/manifests/v9"]);
  });

  it.each<{
    readonly first: Setting;
    readonly letInNow: readonly Who[];
    readonly second: Setting;
    readonly isGiven: boolean;
  }>([
    { first: "shared", letInNow: ["robot"], second: "public", isGiven: false },
    { first: "shared", letInNow: ["robot"], second: "shared", isGiven: true },
    { first: "public", letInNow: everybody, second: "public, with a login", isGiven: true },
    { first: "pass-through", letInNow: ["alice"], second: "shared", isGiven: false },
  ])(
    "believes of what a replica has put into the common store only what holds for itself: $first, then $second",
    async ({ first, isGiven, letInNow, second }) => {
      letIn = letInNow;
      const store = createMemoryStore();
      mirror = await start(first, { store });
      await given(mirror.mirror, first === "pass-through" ? "alice" : "nobody");
      await mirror[Symbol.asyncDispose]();
      await rm(directory, { recursive: true });
      mirror = await start(second, { store });
      const got = await given(mirror.mirror, "nobody");
      expect(got).toEqual(isGiven ? everything() : []);
      expect(tap.take().filter((request) => request.startsWith("GET") && request.includes("/blobs/"))).toHaveLength(2);
    },
  );
});

function describedRows(changes: readonly Change[]): readonly (Required<Omit<Change, "letIn">> & {
  readonly row: string;
  readonly letInBefore: readonly Who[];
})[] {
  return changes.map(({ by = "nobody", client = "nobody", letIn: letInBefore = everybody, ...change }) => {
    const { after, before, expected, letInAfter = letInBefore } = change;
    const row = `${before}, pulled by ${by}, open to ${letInBefore.join("+")}; then ${after}, open to ${letInAfter.join("+")}, asked by ${client}: ${expected}`;
    return { row, before, by, letInBefore, after, client, letInAfter, expected };
  });
}
