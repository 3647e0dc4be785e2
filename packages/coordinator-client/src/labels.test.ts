import { describe, expect, it } from "vitest";

import { CoordinatorError } from "./errors.ts";
import { checkLabels } from "./labels.ts";
import { createTestClient, runner } from "./test-support/test-client.ts";

const many = (count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`label-${index}`, "x"]));

describe("checkLabels", () => {
  it.each([
    {},
    { zone: "eu-1" },
    { _zone: "a" },
    { "a.b-c_d": "1.2_3-4" },
    { ["k".repeat(65)]: "v".repeat(256) },
    { "0ab": "." },
    many(32),
  ])("takes %j", (labels) => {
    expect(() => checkLabels(labels)).not.toThrow();
  });

  it.each([
    { labels: many(33), problem: "there are 33" },
    { labels: { ab: "x" }, problem: 'the key "ab"' },
    { labels: { ["k".repeat(66)]: "x" }, problem: "the key" },
    { labels: { ".zone": "x" }, problem: 'the key ".zone"' },
    { labels: { "-zone": "x" }, problem: 'the key "-zone"' },
    { labels: { "zone/a": "x" }, problem: 'the key "zone/a"' },
    { labels: { zone: "" }, problem: 'the value of "zone"' },
    { labels: { zone: "a b" }, problem: 'the value of "zone"' },
    { labels: { zone: "x\n" }, problem: 'the value of "zone"' },
    { labels: { zone: "v".repeat(257) }, problem: 'the value of "zone"' },
  ])("refuses $problem", ({ labels, problem }) => {
    expect(() => checkLabels(labels)).toThrow(problem);
  });

  it("names all problems in one error", () => {
    const check = (): void => checkLabels({ a: "x", zone: "" });
    expect(check).toThrow(expect.objectContaining({ code: "invalid-labels", retryable: false }));
    expect(check).toThrow(/the key "a".*the value of "zone"/);
    expect(check).toThrow(expect.toSatisfy((error: unknown) => CoordinatorError.isInstance(error)));
  });

  it("happens before a client is made, and before a job is asked for with labels of its own", async () => {
    const info = { name: "gitlab-runner", version: "19.4.0", labels: { a: "x" } };
    expect(() => createTestClient({ url: "http://h", info })).toThrow('the key "a"');
    let requests = 0;
    await using test = createTestClient({
      url: "http://h",
      fetch: async () => {
        requests += 1;
        return new Response(null, { status: 204 });
      },
    });
    await expect(test.client.requestJob({ ...runner, info: { labels: { a: "x" } } })).rejects.toThrow('the key "a"');
    expect(requests).toBe(0);
  });
});
