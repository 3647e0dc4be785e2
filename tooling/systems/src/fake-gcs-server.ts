import { systemEnvironment } from "./environment.ts";
import { requireGoProgram } from "./go-program.ts";
import type { GoProgram } from "./go-program.ts";
import { answersWell, expectStatus } from "./http.ts";
import { startSystem } from "./running-system.ts";
import type { RunningSystem } from "./running-system.ts";

/** The fake-gcs-server that is built. */
export const fakeGcsServerProgram: GoProgram = {
  name: "fake-gcs-server",
  package: "github.com/fsouza/fake-gcs-server",
  version: "v1.56.1",
};

/** A running server that speaks the API of Google Cloud Storage. */
export interface FakeGcsServer extends RunningSystem {
  /** Base URL without a path. */
  readonly endpoint: string;
  /** Creates an empty bucket. */
  createBucket(name: string): Promise<void>;
}

/** How to start a fake GCS server. */
export interface FakeGcsServerOptions {
  /** URL under which its clients know it, when something stands in front of it. @default its own */
  readonly publicUrl?: string;
}

/** Starts a server with no bucket; objects are kept in memory. It accepts every caller. */
export async function startFakeGcsServer(options: FakeGcsServerOptions = {}): Promise<FakeGcsServer> {
  const binary = await requireGoProgram(
    fakeGcsServerProgram,
    "the tests that need a service like Google Cloud Storage",
  );
  const system = await startSystem({
    system: fakeGcsServerProgram.name,
    version: fakeGcsServerProgram.version,
    order: ({ folder, host, port }) => {
      const url = options.publicUrl ?? `http://${host}:${port}`;
      // Upload and download links in its answers begin with these addresses.
      const links = ["-external-url", url, "-public-host", new URL(url).host];
      const place = ["-scheme", "http", "-host", host, "-port", `${port}`, "-backend", "memory"];
      return { command: [binary, ...place, ...links], environment: systemEnvironment(folder) };
    },
    isReady: ({ host, port }) => answersWell(`http://${host}:${port}/_internal/healthcheck`),
  });
  const endpoint = `http://${system.host}:${system.port}`;
  return {
    ...system,
    endpoint,
    createBucket: async (name) => {
      const response = await fetch(`${endpoint}/storage/v1/b`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ name }),
      });
      await expectStatus(response, 200);
    },
  };
}
