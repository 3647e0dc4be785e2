/** One kind of request that runners make. */
export type CallKind =
  | "register"
  | "verify"
  | "unregister"
  | "unregister-manager"
  | "reset-token"
  | "reset-token-by-user"
  | "discover-router"
  | "request-job"
  | "update-job"
  | "patch-trace"
  | "upload-artifacts"
  | "download-artifacts"
  | "unknown";

export interface Route {
  readonly kind: CallKind;
  /** Job or runner that the path names; 0 when it names none. */
  readonly id: number;
}

/**
 * Finds out what a request is. Whatever comes before `/api/v4/` belongs to the instance's own path.
 *
 * @see coordinator-protocol 3 to 10
 */
export function routeOf(method: string, pathname: string): Route {
  const path = /\/api\/v4\/(.*)$/.exec(pathname)?.[1] ?? "";
  const pattern = path.replace(/\/\d+(?=\/|$)/, "/:id");
  const id = Number(/\/(\d+)(?=\/|$)/.exec(path)?.[1] ?? 0);
  return { kind: kinds.get(`${method} ${pattern}`) ?? "unknown", id };
}

const kinds: ReadonlyMap<string, CallKind> = new Map([
  ["POST runners", "register"],
  ["POST runners/verify", "verify"],
  ["DELETE runners", "unregister"],
  ["DELETE runners/managers", "unregister-manager"],
  ["POST runners/reset_authentication_token", "reset-token"],
  ["POST runners/:id/reset_authentication_token", "reset-token-by-user"],
  ["GET runners/router/discovery", "discover-router"],
  ["POST jobs/request", "request-job"],
  ["PUT jobs/:id", "update-job"],
  ["PATCH jobs/:id/trace", "patch-trace"],
  ["POST jobs/:id/artifacts", "upload-artifacts"],
  ["GET jobs/:id/artifacts", "download-artifacts"],
]);
