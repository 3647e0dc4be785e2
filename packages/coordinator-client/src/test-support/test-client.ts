import type { CoordinatorClient, CoordinatorClientOptions } from "../client.ts";
import { createCoordinatorClient } from "../create-client.ts";
import { Secret } from "../secret.ts";
import type { FakeTime, RecordingLogger } from "./fakes.ts";
import { createFakeTime, createRecordingLogger } from "./fakes.ts";

export const RUNNER_TOKEN = "glrt-runner-secret-1";
export const JOB_TOKEN = "glcbt-job-secret-1";
export const runner = { token: new Secret(RUNNER_TOKEN), systemId: "s_0a1b2c3d4e5f" };
export const job = { id: 7, token: new Secret(JOB_TOKEN) };

export interface TestClient extends AsyncDisposable {
  readonly client: CoordinatorClient;
  readonly logger: RecordingLogger;
  readonly time: FakeTime;
}

/** A client whose waits take no time and whose random numbers are the smallest. */
export function createTestClient(options: { readonly url: string } & Partial<CoordinatorClientOptions>): TestClient {
  const logger = createRecordingLogger();
  const time = createFakeTime();
  const client = createCoordinatorClient({
    info: { name: "gitlab-runner", version: "19.4.0" },
    logger,
    now: time.now,
    sleep: time.sleep,
    random: () => 0,
    ...options,
  });
  return { client, logger, time, [Symbol.asyncDispose]: () => client.close() };
}

export function bytes(text: string): Uint8Array {
  return Buffer.from(text);
}
