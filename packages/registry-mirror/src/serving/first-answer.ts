import { UpstreamError } from "../errors.ts";
import type { UpstreamImage } from "../routing/select.ts";
import { WalkFailure } from "./failures.ts";
import type { StepFailure } from "./failures.ts";

/**
 * What the first of several candidates gives for which it works out; they are tried one after the other.
 *
 * @throws {WalkFailure} none of them has it
 * @throws what is no failure of an upstream, and the signal's reason
 */
export async function firstAnswer<Result>(
  candidates: readonly UpstreamImage[],
  signal: AbortSignal,
  action: (image: UpstreamImage) => Promise<Result>,
): Promise<Result> {
  const steps: StepFailure[] = [];
  for (const image of candidates) {
    try {
      return await action(image);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof UpstreamError)) throw error;
      steps.push({ upstream: image.upstream.id, error });
    }
  }
  throw new WalkFailure(steps);
}
