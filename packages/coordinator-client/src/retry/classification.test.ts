import { describe, expect, it } from "vitest";

import { classifyStatus, isRetriableStatus } from "./classification.ts";

describe("classifyStatus", () => {
  it.each([
    [100, "accepted"],
    [200, "accepted"],
    [202, "accepted"],
    [204, "accepted"],
    [304, "accepted"],
    [307, "accepted"],
    [400, "client"],
    [401, "client"],
    [403, "client"],
    [404, "client"],
    [408, "transient"],
    [409, "client"],
    [412, "client"],
    [413, "client"],
    [416, "client"],
    [422, "client"],
    [423, "client"],
    [425, "client"],
    [429, "throttled"],
    [499, "client"],
    [500, "transient"],
    [501, "server"],
    [502, "transient"],
    [503, "transient"],
    [504, "transient"],
    [505, "server"],
    [511, "server"],
    [512, "transient"],
    [520, "transient"],
    [599, "transient"],
  ])("takes %i as %s", (status, expected) => {
    expect(classifyStatus(status)).toBe(expected);
  });

  it("retries exactly the statuses of the protocol", () => {
    const retried = Array.from({ length: 500 }, (_, index) => index + 100).filter(isRetriableStatus);
    const fromFiveTwelve = Array.from({ length: 88 }, (_, index) => index + 512);
    expect(retried).toEqual([408, 429, 500, 502, 503, 504, ...fromFiveTwelve]);
  });
});
