import type { ExecutorContext } from "../executor-context.ts";
import type { JobUsage } from "../garbage/usage.ts";
import type { DockerPrepareRequest } from "../types.ts";
import type { RegistryLogins } from "./credentials.ts";
import type { effectivePolicies } from "./pull-policy.ts";
import { obtainImage } from "./pull.ts";
import type { PresentImage } from "./pull.ts";

/** An image is pulled once in a job, however often it is used. */
export function createPuller(
  { engine, options }: ExecutorContext,
  request: DockerPrepareRequest,
  usage: JobUsage,
  logins: RegistryLogins,
): (
  image: string,
  policies: ReturnType<typeof effectivePolicies>,
  platform: string | undefined,
) => Promise<PresentImage> {
  const pulled = new Map<string, Promise<PresentImage>>();
  return (image, policies, platform) => {
    const key = JSON.stringify([image, policies, platform]);
    const known = pulled.get(key);
    if (known !== undefined) return known;
    const reference = options.imageReference?.(image, request) ?? image;
    const pulling = obtainImage(image, {
      engine,
      policies,
      platform,
      logins,
      reference,
      onUse: (id, wasPulled) => usage.image(id, wasPulled ? reference : undefined),
      advice: options.pullAdvice,
      log: request.log,
      warn: request.warn,
      sleep: options.sleep,
      signal: request.signal,
    });
    pulled.set(key, pulling);
    return pulling;
  };
}
