import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { isAbsolute, join, normalize, relative } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createMirror } from "./mirror.ts";
import { isDigest, isRepositoryName, isTag } from "./reference/grammar.ts";
import { acceptsMediaType, matchesEntityTag } from "./reference/conditions.ts";
import { readManifest } from "./reference/manifest.ts";
import { parseTarget } from "./reference/path.ts";
import { parseRange, totalOfContentRange } from "./reference/range.ts";
import { readRegistries } from "./routing/registries.ts";
import { selectRegistry } from "./routing/select.ts";
import { blobName, digestName, tagName } from "./storage/layout.ts";
import { classOfAddress } from "./upstream/address.ts";
import { parseChallenges } from "./upstream/challenge.ts";
import { parseRateLimit } from "./upstream/rate-limit.ts";
import { parseRetryAfter } from "./upstream/retry-after.ts";

const runs = { numRuns: 10_000 };
const registries = readRegistries({
  upstreams: {
    hub: { url: "https://registry-1.docker.io", deny: ["^(a+)+$"] },
    quay: { url: "https://quay.io", addPrefix: "mirror" },
  },
  virtualRegistries: { ci: { upstreams: ["quay", "hub"] } },
});

const nasty = fc.constantFrom(
  "..",
  ".",
  "",
  "%2e%2e",
  "%2f",
  "%00",
  "%25",
  "\\",
  "a",
  "A",
  "library",
  "manifests",
  "blobs",
  "tags",
  "list",
  "referrers",
  "uploads",
  "_catalog",
  "quay.io",
  "localhost:1",
  "169.254.169.254",
  "ci",
  "latest",
  "sha256:",
  `sha256:${"a".repeat(64)}`,
  `sha256:${"../".repeat(21)}a`,
  "é",
  "a".repeat(300),
  "_tags",
  "_digests",
);
const target = fc.oneof(
  fc.array(nasty, { maxLength: 8 }).map((parts) => `/v2/${parts.join("/")}`),
  fc.string({ unit: "binary", maxLength: 200 }),
  fc.string({ maxLength: 80 }).map((text) => `/v2/${text}/manifests/${text}?ns=${text}`),
);

describe("hostile input", () => {
  it("never leads outside of the store, nor to an upstream that is not configured", () => {
    fc.assert(
      fc.property(target, fc.option(nasty), (text, ns) => {
        const { query, route } = parseTarget(text);
        if (!("image" in route)) return;
        const selection = selectRegistry(
          route.image,
          { namespace: query.get("ns") ?? ns ?? undefined, entry: undefined },
          registries,
        );
        if (selection.kind !== "upstream") return;
        const { image } = selection;
        expect([...registries.upstreams.values()]).toContain(image.upstream);
        expect(isRepositoryName(image.name)).toBe(true);
        const names: string[] = [];
        if (route.kind === "manifest" && "tag" in route.reference) names.push(tagName(image, route.reference.tag));
        const digest =
          route.kind === "manifest" && "digest" in route.reference
            ? route.reference.digest
            : "digest" in route
              ? route.digest
              : undefined;
        if (digest !== undefined) names.push(blobName(digest), digestName(image, digest));
        for (const name of names) {
          const path = join("/store", name);
          const inside = relative("/store", normalize(path));
          expect(inside.startsWith("..") || isAbsolute(inside)).toBe(false);
          expect(inside).toBe(name);
        }
      }),
      runs,
    );
  });

  it("is answered by a mirror without a crash, a file or a connection", async () => {
    let connections = 0;
    const trap = createServer((socket) => {
      connections += 1;
      socket.destroy();
    }).listen(0, "127.0.0.1");
    await once(trap, "listening");
    const { port } = trap.address() as AddressInfo;
    const directory = await mkdtemp(join(tmpdir(), "mirror-"));
    // The pattern refuses every name, so that nothing but a mistake can connect anywhere.
    const url = `http://127.0.0.1:${port}`;
    const mirror = await createMirror({ directory, upstreams: { hub: { url, deny: [""] } } });
    const before = await readdir(directory, { recursive: true });
    const header = fc.option(
      fc.oneof(fc.string({ maxLength: 60 }), fc.constantFrom("bytes=0-", "bytes=-0", "bytes=9-1", "*", "Bearer x")),
      { nil: undefined },
    );
    await fc.assert(
      fc.asyncProperty(
        target,
        fc.constantFrom("GET", "HEAD", "PUT", "DELETE", "TRACE", "x"),
        header,
        async (text, method, value) => {
          const headers = { range: value, accept: value, "if-none-match": value, authorization: value };
          const { body, status } = await mirror.answer({ method, target: text, headers });
          expect([200, 400, 403, 404, 405]).toContain(status);
          expect(body === undefined || body instanceof Uint8Array).toBe(true);
        },
      ),
      runs,
    );
    expect(connections).toBe(0);
    expect(await readdir(directory, { recursive: true })).toEqual(before);
    await mirror.close();
    trap.close();
    await rm(directory, { recursive: true });
  }, 120_000);

  it("is passed on only when no reading of its path leads to a name that the rules refuse", async () => {
    const arrived: string[] = [];
    const trap = createHttpServer((request, response) => {
      arrived.push(`${request.method} ${request.url}`);
      response.end();
    }).listen(0, "127.0.0.1");
    await once(trap, "listening");
    const { port } = trap.address() as AddressInfo;
    const directory = await mkdtemp(join(tmpdir(), "mirror-"));
    const url = `http://127.0.0.1:${port}`;
    const hub = {
      url,
      hosts: ["quay.io"],
      access: "pass-through",
      deny: ["^denied"],
      allow: ["^ok", "^denied"],
    } as const;
    const mirror = await createMirror({ directory, upstreams: { hub } });
    const relay = async (method: string, text: string): Promise<number> => {
      const { signal } = new AbortController();
      const request = { registry: "quay.io", target: text, method, headers: {}, authorization: undefined, signal };
      const { body, status } = await mirror.relay(request);
      if (body !== undefined && !(body instanceof Uint8Array))
        for await (const chunk of body) expect(chunk).toBeDefined();
      return status;
    };
    const digest = `sha256:${"a".repeat(64)}`;
    const passed = [
      "GET /v2/auth?service=x",
      "GET /token?scope=repository:denied/app:pull",
      "PUT /v2/ok/app/manifests/1",
      `HEAD /v2/ok/app/blobs/${digest}`,
      "POST /v2/ok/app/blobs/uploads/",
      "PATCH /v2/ok/app/blobs/uploads/an-id?_state=x",
      `POST /v2/ok/app/blobs/uploads/?mount=${digest}&from=ok/other`,
    ];
    const refused = [
      "GET /x/../v2/denied/app/manifests/1",
      "GET /x/%2e%2e/v2/denied/app/manifests/1",
      "GET /x\\..\\v2/denied/app/manifests/1",
      "GET //v2/denied/app/manifests/1",
      "GET /v2//denied/app/manifests/1",
      "GET /v2%2fdenied/app/manifests/1",
      "GET /%76%32/denied/app/manifests/1",
      "GET /v2/denied/app/manifests/1/",
      "GET /v2/denied/app/of-its-own",
      "PUT /v2/ok/../denied/app/manifests/1",
      "PUT /v2/ok/%2E%2E/denied/app/manifests/1",
      "PUT /v2/denied/app/manifests/1",
      "PUT /v2/neither/manifests/1",
      "PUT /v2/denied%2fapp/manifests/1",
      "POST /v2/denied/app/blobs/uploads/",
      "POST /v2/denied/app/blobs/uploads",
      "POST /v2/neither/blobs/uploads/",
      "PATCH /v2/denied/app/blobs/uploads/an-id?_state=x",
      `POST /v2/ok/app/blobs/uploads/?mount=${digest}&from=denied/app`,
      `POST /v2/ok/app/blobs/uploads/?mount=${digest}&from=ok/x&from=denied%2fapp`,
    ];
    for (const line of [...refused, ...passed]) {
      const [method = "", text = ""] = line.split(" ");
      expect([line, await relay(method, text)]).toEqual([
        line,
        passed.includes(line) ? 200 : expect.toBeOneOf([400, 403]),
      ]);
    }
    expect(arrived).toEqual(passed);
    arrived.length = 0;
    await fc.assert(
      fc.asyncProperty(target, fc.constantFrom("GET", "HEAD", "PUT", "DELETE"), async (text, method) => {
        const denied = text.replace("/v2/", "/v2/denied/");
        expect([200, 400, 403, 404]).toContain(await relay(method, denied));
        expect(arrived.filter((line) => line.includes("denied"))).toEqual([]);
      }),
      { numRuns: 2000 },
    );
    await mirror.close();
    trap.close();
    await rm(directory, { recursive: true });
  }, 60_000);

  it("RM V13: is searched for patterns in linear time", () => {
    const upstream = registries.upstreams.get("hub");
    if (upstream === undefined) throw new Error("there is no hub");
    fc.assert(
      fc.property(fc.integer({ min: 200, max: 254 }), fc.constantFrom("", "b", "-", "_"), (length, end) => {
        expect(upstream.deny.matches(`${"a".repeat(length)}${end}`)).toBe(end === "");
      }),
      { numRuns: 1000 },
    );
  });

  it("makes no reader of headers, addresses or documents fail", () => {
    const text = fc.oneof(fc.string({ unit: "binary", maxLength: 200 }), fc.stringMatching(/^[ -~]{0,80}$/));
    fc.assert(
      fc.property(text, fc.nat(), (value, bytes) => {
        const span = parseRange(value, bytes);
        if (span !== undefined && span !== "unsatisfiable") {
          expect(span.start).toBeGreaterThanOrEqual(0);
          expect(span.end).toBeGreaterThan(span.start);
          expect(span.end).toBeLessThanOrEqual(bytes);
        }
        totalOfContentRange(value, bytes);
        matchesEntityTag(value, `sha256:${"a".repeat(64)}`);
        acceptsMediaType(value, "application/json");
        parseChallenges(value);
        parseRateLimit(value);
        const waitMs = parseRetryAfter(value, 0);
        expect(waitMs >= 1000 && waitMs <= 900_000).toBe(true);
        classOfAddress(value);
        for (const child of readManifest(Buffer.from(value), value).children) expect(isDigest(child.digest)).toBe(true);
        isTag(value);
      }),
      runs,
    );
  });

  it.each([
    ["bytes=99999999999999999-", "unsatisfiable"],
    ["bytes=0-99999999999999999999", { start: 0, end: 10 }],
    [`bytes=4-${"9".repeat(400)}`, { start: 4, end: 10 }],
    [`bytes=-${"9".repeat(400)}`, { start: 0, end: 10 }],
    ["bytes=3-1", "unsatisfiable"],
    ["bytes=-", undefined],
  ])("reads the range %s of ten bytes", (header, span) => {
    expect(parseRange(header, 10)).toEqual(span);
  });

  it("finds in ranges what a list of bytes finds", () => {
    fc.assert(
      fc.property(fc.nat(50), fc.nat(60), fc.nat(60), fc.constantFrom("a-b", "a-", "-b"), (bytes, a, b, form) => {
        const all = Array.from({ length: bytes }, (_, index) => index);
        const wanted =
          form === "-b"
            ? b === 0
              ? []
              : all.slice(-b)
            : all.filter((index) => index >= a && (form === "a-" || index <= b));
        const span = parseRange(`bytes=${form.replace("a", String(a)).replace("b", String(b))}`, bytes);
        if (span === undefined) throw new Error("a range that can be read was ignored");
        expect(span === "unsatisfiable" ? [] : all.slice(span.start, span.end)).toEqual(wanted);
      }),
      runs,
    );
  });
});

describe("addresses", () => {
  it.each([
    ["loopback", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"]],
    [
      "private",
      [
        "10.1.2.3",
        "172.31.0.1",
        "192.168.0.1",
        "100.64.0.1",
        "198.18.0.1",
        "192.0.0.1",
        "fc00::1",
        "fdff::1",
        "::ffff:10.1.2.3",
        "64:ff9b::a01:203",
      ],
    ],
    [
      "special",
      [
        "0.0.0.0",
        "169.254.169.254",
        "224.0.0.1",
        "255.255.255.255",
        "::",
        "fe80::1%eth0",
        "ff02::1",
        "::ffff:169.254.169.254",
        "not an address",
        "",
      ],
    ],
    ["public", ["198.51.100.7", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:4860:4860::8888", "::ffff:8.8.8.8"]],
  ])("are %s", (expected, addresses) => {
    expect(addresses.map((address) => [address, classOfAddress(address)])).toEqual(
      addresses.map((address) => [address, expected]),
    );
  });
});

describe("challenges", () => {
  it("are read with their quoted commas, several in one header or in several", () => {
    expect(
      parseChallenges([
        'Basic realm="a, b", BEARER realm="https://auth.example/token?x=1,2",service="s",scope="repository:a:pull,push"',
        "Negotiate",
      ]),
    ).toMatchObject([
      { scheme: "basic", parameters: { realm: "a, b" } },
      {
        scheme: "bearer",
        parameters: { realm: "https://auth.example/token?x=1,2", service: "s", scope: "repository:a:pull,push" },
      },
      { scheme: "negotiate" },
    ]);
  });
});
