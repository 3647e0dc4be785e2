import type { CoordinatorHandler } from "../coordinator.ts";
import type { Core } from "../core.ts";
import { emptyAnswer, refusal } from "./answers.ts";
import { downloadArtifacts, uploadArtifacts } from "./artifact-calls.ts";
import { patchTrace } from "./patch-trace.ts";
import { requestJob } from "./request-job.ts";
import type { Route } from "./route.ts";
import { routeOf } from "./route.ts";
import { register, resetToken, unregister, unregisterManager, verify } from "./runner-calls.ts";
import { updateJob } from "./update-job.ts";

/** Answers requests with the calls of one coordinator. */
export function createHandler(core: Core): CoordinatorHandler {
  return async (request) => {
    const route = routeOf(request.method, new URL(request.url).pathname);
    const response = await answerForGood(core, request, route).catch((error: unknown) => {
      if (request.signal.aborted) throw request.signal.reason;
      core.settings.logger.error("request failed", { kind: route.kind, id: route.id, error: String(error) });
      return refusal(500, "Internal Server Error");
    });
    // Whoever still sends what nobody will read is told so.
    if (request.body !== null && !request.bodyUsed) request.body.cancel().catch(() => undefined);
    const requestId = request.headers.get("x-request-id");
    if (requestId !== null) response.headers.set("X-Request-Id", requestId);
    core.settings.logger.debug("request answered", { kind: route.kind, id: route.id, status: response.status });
    return response;
  };
}

/** What a runner is told must not be forgotten, whatever happens next. */
async function answerForGood(core: Core, request: Request, route: Route): Promise<Response> {
  const response = await answer(core, request, route);
  try {
    await core.keeper.flush();
  } catch (error) {
    await response.body?.cancel();
    throw error;
  }
  return response;
}

async function answer(core: Core, request: Request, { kind, id }: Route): Promise<Response> {
  switch (kind) {
    case "request-job":
      return requestJob(core, request);
    case "update-job":
      return updateJob(core, request, id);
    case "patch-trace":
      return patchTrace(core, request, id);
    case "upload-artifacts":
      return uploadArtifacts(core, request, id);
    case "download-artifacts":
      return downloadArtifacts(core, request, id);
    case "register":
      return register(core, request);
    case "verify":
      return verify(core, request);
    case "unregister":
      return unregister(core, request);
    case "unregister-manager":
      return unregisterManager(core, request);
    case "reset-token":
      return resetToken(core, request);
    case "reset-token-by-user":
      // There are no users here whose token could be right.
      return refusal(403, "Forbidden");
    case "discover-router":
      return core.runners.byToken(request.headers.get("runner-token")) === undefined
        ? refusal(403, "Forbidden")
        : emptyAnswer(501);
    default:
      return refusal(404, "Not Found");
  }
}
