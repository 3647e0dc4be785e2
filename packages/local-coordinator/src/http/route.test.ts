import { describe, expect, it } from "vitest";

import { routeOf } from "./route.ts";

describe("routes", () => {
  it.each([
    ["POST", "/api/v4/runners", "register", 0],
    ["POST", "/api/v4/runners/verify", "verify", 0],
    ["DELETE", "/api/v4/runners", "unregister", 0],
    ["DELETE", "/api/v4/runners/managers", "unregister-manager", 0],
    ["POST", "/api/v4/runners/reset_authentication_token", "reset-token", 0],
    ["POST", "/api/v4/runners/12/reset_authentication_token", "reset-token-by-user", 12],
    ["GET", "/api/v4/runners/router/discovery", "discover-router", 0],
    ["POST", "/gitlab/api/v4/jobs/request", "request-job", 0],
    ["PUT", "/api/v4/jobs/101", "update-job", 101],
    ["PATCH", "/api/v4/jobs/101/trace", "patch-trace", 101],
    ["POST", "/api/v4/jobs/101/artifacts", "upload-artifacts", 101],
    ["GET", "/a/b/api/v4/jobs/101/artifacts", "download-artifacts", 101],
    ["GET", "/api/v4/jobs/request", "unknown", 0],
    ["PUT", "/api/v4/jobs/1x1", "unknown", 0],
    ["PUT", "/jobs/101", "unknown", 0],
  ])("%s %s is %s", (method, path, kind, id) => {
    expect(routeOf(method, path)).toEqual({ kind, id });
  });
});
