import { describe, expect, it } from "vitest";

import { proxyEnvironment } from "./environment.ts";
import { exposedMetadataAddresses } from "./node-proxy.ts";
import { portableNoProxy } from "./portable-no-proxy.ts";
import { readProxyEnvironment } from "./settings.ts";

const BOTH = ["169.254.169.254", "169.254.170.2"];
const on = { NODE_USE_ENV_PROXY: "1", HTTP_PROXY: "http://h:1" };

describe("exposedMetadataAddresses", () => {
  it.each([
    ["with Node's own proxy support on", on, BOTH],
    ["with the flag among NODE_OPTIONS", { NODE_OPTIONS: "--no-warnings --use-env-proxy", http_proxy: "h:1" }, BOTH],
    ["with a range that Node does not understand", { ...on, no_proxy: "169.254.0.0/16" }, BOTH],
    ["with one of them listed", { ...on, NO_PROXY: "a.test, 169.254.169.254" }, ["169.254.170.2"]],
    ["with an empty list before one that counts", { ...on, no_proxy: "", NO_PROXY: "*" }, []],
    ["with a range of Node's kind", { ...on, no_proxy: "169.254.0.0-169.254.255.255" }, []],
    ["with a range that ends before", { ...on, no_proxy: "169.254.0.0-169.254.170.1" }, ["169.254.170.2"]],
    ["with half a range", { ...on, no_proxy: "169.254.0.0-" }, BOTH],
    ["with no proxy for http", { NODE_USE_ENV_PROXY: "1", HTTPS_PROXY: "http://h:1" }, []],
    ["with a value that Node does not take for on", { ...on, NODE_USE_ENV_PROXY: "true" }, []],
    ["with Node's support off", { HTTP_PROXY: "http://h:1" }, []],
  ])("%s", (_what, environment, expected) => {
    expect(exposedMetadataAddresses(environment)).toEqual(expected);
  });

  it("finds nothing with a portable list", () => {
    const settings = readProxyEnvironment({ HTTP_PROXY: "http://h:1" });
    const environment = proxyEnvironment(settings, { noProxy: portableNoProxy([]).value });
    expect(exposedMetadataAddresses({ ...environment, NODE_USE_ENV_PROXY: "1" })).toEqual([]);
  });
});
