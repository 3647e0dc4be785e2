import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import type { UpstreamError } from "../errors.ts";
import type { UpstreamImage } from "../routing/select.ts";
import { createManualClock } from "../testing/manual-clock.ts";
import { serveMirror } from "../testing/serve.ts";
import type { UpstreamClient } from "../upstream/client.ts";
import type { UpstreamAnswer } from "../upstream/messages.ts";
import type { Access } from "./permission/access.ts";
import { Lists, pageOf, sorted } from "./lists.ts";
import type { Openings } from "./permission/openings.ts";
import type { Withdrawals } from "./permission/withdrawals.ts";

describe("tags", () => {
  it("are listed as they all are, or not at all: an upstream with too many of them makes an error that says so", async () => {
    const blob = Buffer.from("{}");
    const manifest = JSON.stringify({ schemaVersion: 2, config: {}, layers: [] });
    let isPaged = true;
    const hub = createServer(({ url = "/" }, response) => {
      const { pathname, searchParams } = new URL(url, "http://hub");
      if (!pathname.endsWith("/tags/list")) {
        response.setHeader("content-type", "application/vnd.oci.image.manifest.v1+json");
        response.end(pathname.includes("/manifests/") ? manifest : blob);
        return;
      }
      const last = searchParams.get("last") ?? "t0000";
      if (isPaged) response.setHeader("link", `</v2/library/app/tags/list?last=${last}x>; rel="next"`);
      const tags = isPaged ? [last] : Array.from({ length: 900_000 }, (_, index) => `t${index}`);
      response.end(JSON.stringify({ name: "library/app", tags }));
    });
    await once(hub.listen(0, "127.0.0.1"), "listening");
    const url = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
    for (const [paged, why] of [
      [true, "more than 200 pages, 200 entries so far"],
      [false, "a page above 4 MiB"],
    ] as const) {
      await using mirror = await serveMirror({ upstreams: { hub: { url } } });
      // One that is cached is no list of them all.
      expect((await mirror.send("/v2/library/app/manifests/one")).status).toBe(200);
      isPaged = paged;
      const { body, status } = await mirror.send("/v2/library/app/tags/list");
      expect([status, body.toString()]).toEqual([
        502,
        expect.stringContaining(`its list is longer than this mirror reads (${why}); ask the registry itself`),
      ]);
    }
    hub.close();
  });

  it.each([0, 3, 4999, 5000, 5001, 123_456])(
    "are given whole and in pages, sorted and once each: %i of them",
    async (count) => {
      // Every second one comes twice.
      const tags = Array.from(
        { length: count },
        (_, index) => `v${(index * 7919) % Math.max(1, Math.ceil(count / 1.5))}`,
      );
      const expected = [...new Set(tags)].sort();
      const hub = createServer((_request, response) => response.end(JSON.stringify({ tags: ["no tag", 1, ...tags] })));
      await once(hub.listen(0, "127.0.0.1"), "listening");
      const url = `http://127.0.0.1:${(hub.address() as AddressInfo).port}`;
      await using mirror = await serveMirror({ upstreams: { hub: { url } } });
      const get = async (query: string): Promise<{ readonly bytes: number; readonly text: string }> => {
        const { body, headers } = await mirror.send(`/v2/library/app/tags/list${query}`);
        return { bytes: Number(headers["content-length"]), text: body.toString() };
      };
      const text = (entries: readonly string[]): { readonly bytes: number; readonly text: string } => {
        const document = JSON.stringify({ name: "library/app", tags: entries });
        return { bytes: document.length, text: document };
      };
      expect(await get("")).toEqual(text(expected));
      expect(await get("")).toEqual(text(expected));
      expect(await get("?n=90000")).toEqual(text(expected.slice(0, 90_000)));
      expect(await get("?n=2&last=v1")).toEqual(text(expected.slice(expected.indexOf("v1") + 1).slice(0, 2)));
      hub.close();
    },
  );

  it("come by bytes, and page by page from wherever a client wants", () => {
    const tags = sorted(["b", "B", "_", "a-1", "a.1", "a", "b"]);
    expect(tags).toEqual(["B", "_", "a", "a-1", "a.1", "b"]);
    const page = (query: string): unknown => pageOf(tags, new URLSearchParams(query), 100);
    expect(page("n=2&last=_")).toEqual({ entries: ["a", "a-1"], next: "n=2&last=a-1" });
    expect(page("n=2&last=a-0")).toEqual({ entries: ["a-1", "a.1"], next: "n=2&last=a.1" });
    expect(page("last=b")).toEqual({ entries: [], next: undefined });
    expect(page("last=%C3%A9")).toEqual({ entries: [], next: undefined });
  });
});

describe("lists of an upstream", () => {
  const image = { upstream: { id: "hub" }, name: "library/app" } as UpstreamImage;
  const { signal } = new AbortController();
  const clock = createManualClock();
  const page = Buffer.from(JSON.stringify({ manifests: [{ size: 1 }], padding: "x".repeat(4_000_000) }));
  const digestOf = (index: number): `sha256:${string}` => `sha256:${String(index).padStart(64, "0")}`;

  function listsFrom(
    send: (resource: string) => Promise<UpstreamAnswer>,
    noteFailure: (error: UpstreamError) => void = () => {},
  ): Lists {
    return new Lists({
      access: {} as Access,
      clientOf: () => ({ send: ({ resource }: { resource: string }) => send(resource) }) as unknown as UpstreamClient,
      openings: { keyOf: ({ name }: UpstreamImage) => name } as unknown as Openings,
      withdrawals: {
        noteFailure: (_image: UpstreamImage, error: UpstreamError) => noteFailure(error),
      } as unknown as Withdrawals,
      clock,
      totalMs: 30_000,
    });
  }

  /** One that sends so many pages of nearly 4 MiB for each list. */
  function pagesOf(count: number, asked: string[]): (resource: string) => Promise<UpstreamAnswer> {
    return async (resource) => {
      const [path = "", number = "1"] = resource.split("?page=");
      if (number === "1") asked.push(path);
      const next = `</v2/library/app/${path}?page=${Number(number) + 1}>; rel="next"`;
      return {
        status: 200,
        headers: { link: Number(number) < count ? next : undefined },
        body: (async function* () {
          yield page;
        })(),
        readBody: async () => {},
        discard: () => {},
      };
    };
  }

  it("are read up to 32 MiB, over however many pages", async () => {
    expect(await listsFrom(pagesOf(8, [])).referrers(image, digestOf(1), "anonymous", signal)).toHaveLength(8);
    const tooLong = listsFrom(pagesOf(9, [])).referrers(image, digestOf(1), "anonymous", signal);
    await expect(tooLong).rejects.toThrow("(above 32 MiB, 8 entries so far)");
  });

  it("are kept up to 64 MiB together, the latest ones", async () => {
    const asked: string[] = [];
    const lists = listsFrom(pagesOf(7, asked));
    for (const index of [1, 2, 3, 3, 2, 1]) await lists.referrers(image, digestOf(index), "anonymous", signal);
    expect(asked).toEqual([1, 2, 3, 1].map((index) => `referrers/${digestOf(index)}`));
  });

  const answer = (body: AsyncIterable<Buffer>, link?: string): UpstreamAnswer => ({
    status: 200,
    headers: { link },
    body,
    readBody: async () => {},
    discard: () => {},
  });

  it("are held by few readers at once as far as they are long, however many want another one each", async () => {
    const pageCount = 3;
    const heldBytes = new Map<string, number>();
    let mostBytes = 0;
    const lists = listsFrom(async (resource) => {
      const [path = "", number = "1"] = resource.split("?page=");
      const next = `</v2/library/app/${path}?page=${Number(number) + 1}>; rel="next"`;
      const slices = async function* (): AsyncGenerator<Buffer> {
        for (let position = 0; position < page.byteLength; position += 64 * 1024) {
          const slice = page.subarray(position, position + 64 * 1024);
          heldBytes.set(path, (heldBytes.get(path) ?? 0) + slice.byteLength);
          mostBytes = Math.max(
            mostBytes,
            [...heldBytes.values()].reduce((sum, bytes) => sum + bytes, 0),
          );
          yield slice;
        }
      };
      return answer(slices(), Number(number) < pageCount ? next : undefined);
    });
    const wanted = Array.from({ length: 30 }, async (_, index) => {
      const digest = digestOf(index);
      expect(await lists.referrers(image, digest, "anonymous", signal)).toHaveLength(pageCount);
      heldBytes.delete(`referrers/${digest}`);
    });
    await Promise.all(wanted);
    // Two of them, what the one before has not yet let go of, and a little of each other one.
    expect(mostBytes).toBeLessThanOrEqual(3 * pageCount * page.byteLength + 30 * 2 * 64 * 1024);
  });

  it("that are long and never had their turn are no failure of the upstream, and short ones need none", async () => {
    const noted: string[] = [];
    const silent = Promise.withResolvers<never>();
    const endless = async function* (): AsyncGenerator<Buffer> {
      yield Buffer.alloc(100_000, " ");
      await silent.promise;
    };
    const short = async function* (): AsyncGenerator<Buffer> {
      yield Buffer.from('{"manifests":[1]}');
    };
    const shortDigest = digestOf(99);
    const lists = listsFrom(
      async (resource) => answer(resource.endsWith(shortDigest) ? short() : endless()),
      (error) => noted.push(error.reason),
    );
    const long = [1, 2, 3].map((index) => lists.referrers(image, digestOf(index), "anonymous", signal));
    const settled = Promise.allSettled(long);
    expect(await lists.referrers(image, shortDigest, "anonymous", signal)).toEqual([1]);
    await clock.advance(30_000);
    const reasons = (await settled).map((result) => (result as { reason?: { reason?: string } }).reason?.reason);
    expect(reasons).toEqual([
      "it did not answer in time",
      "it did not answer in time",
      expect.stringContaining("this mirror is reading others"),
    ]);
    expect(noted).toEqual(["it did not answer in time", "it did not answer in time"]);
  });

  it("wait for no other upstream's, however slowly those come", async () => {
    const silent = Promise.withResolvers<never>();
    const endless = async function* (): AsyncGenerator<Buffer> {
      yield Buffer.alloc(100_000, " ");
      await silent.promise;
    };
    const long = async function* (): AsyncGenerator<Buffer> {
      yield page;
    };
    const lists = listsFrom(async (resource) => answer(resource.endsWith(digestOf(9)) ? long() : endless()));
    const at = (id: string): UpstreamImage => ({ upstream: { id }, name: id }) as UpstreamImage;
    // Each of them one of its own, and one of them what is common.
    const slow = ["one", "two", "one", "two"].map((id, index) =>
      lists.referrers(at(id), digestOf(index), "anonymous", signal),
    );
    const settled = Promise.allSettled(slow);
    await clock.waitsFor(30_000);
    expect(await lists.referrers(at("three"), digestOf(9), "anonymous", signal)).toHaveLength(1);
    await clock.advance(30_000);
    const reasons = (await settled).map((result) => (result as { reason?: { reason?: string } }).reason?.reason);
    expect(reasons.map((reason) => reason?.includes("this mirror is reading others"))).toEqual([
      false,
      false,
      false,
      true,
    ]);
  });

  it("are sorted and written once for all who want the tags, and let others have their turn meanwhile", async () => {
    const tags = Array.from({ length: 200_000 }, (_, index) => `v${(index * 7919) % 200_000}`);
    const document = Buffer.from(JSON.stringify({ tags }));
    const lists = listsFrom(async () =>
      answer(
        (async function* () {
          yield document;
        })(),
      ),
    );
    let turns = 0;
    let isListed = false;
    const count = (): void => {
      turns += 1;
      if (!isListed) setImmediate(count);
    };
    setImmediate(count);
    const list = await lists.tags(image, "anonymous", signal);
    isListed = true;
    expect([list.tags.length, turns > 200]).toEqual([200_000, true]);
    const again = await lists.tags(image, "anonymous", signal);
    expect([again.tags === list.tags, again.json === list.json]).toEqual([true, true]);
  });

  it("may have more entries than a call takes arguments", async () => {
    const many = Buffer.from(JSON.stringify({ manifests: Array.from({ length: 500_000 }, () => 1) }));
    const lists = listsFrom(async () => ({
      status: 200,
      headers: {},
      body: (async function* () {
        yield many;
      })(),
      readBody: async () => {},
      discard: () => {},
    }));
    expect((await lists.referrers(image, digestOf(1), "anonymous", signal)).length).toBe(500_000);
  });

  it("that come too late are a timeout", async () => {
    const listing = listsFrom(() => new Promise(() => {})).referrers(image, digestOf(1), "anonymous", signal);
    const refused = expect(listing).rejects.toMatchObject({ code: "timeout", upstream: "hub" });
    await clock.waitsFor(30_000);
    await clock.advance(30_000);
    await refused;
  });
});
