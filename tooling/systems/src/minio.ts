import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { systemEnvironment } from "./environment.ts";
import { requireGoProgram } from "./go-program.ts";
import type { GoProgram } from "./go-program.ts";
import { answersWell, expectStatus } from "./http.ts";
import { startSystem } from "./running-system.ts";
import type { RunningSystem } from "./running-system.ts";
import { signedS3Request } from "./s3-request.ts";
import type { S3Access, S3Request } from "./s3-request.ts";

/** The MinIO that is built. The module proxy knows it by commit only; this was the newest on 2026-11-21. */
export const minioProgram: GoProgram = {
  name: "minio",
  package: "github.com/minio/minio",
  version: "v0.0.0-20260212201848-7aac2a2c5b7c",
};

/** A running MinIO server, which speaks S3. */
export interface Minio extends RunningSystem, S3Access {
  /** Creates an empty bucket. */
  createBucket(name: string): Promise<void>;
  /** Sends one signed request, for looking at the store without the client under test. */
  request(request: S3Request): Promise<Response>;
}

/** Starts a MinIO server with credentials of its own and no bucket. */
export async function startMinio(): Promise<Minio> {
  const binary = await requireGoProgram(minioProgram, "the tests that need a real S3 service");
  const accessKeyId = `user-${randomBytes(6).toString("hex")}`;
  const secretAccessKey = randomBytes(20).toString("hex");
  const region = "us-east-1";
  const system = await startSystem({
    system: minioProgram.name,
    version: minioProgram.version,
    order: ({ folder, host, port }) => ({
      command: [binary, "server", "--quiet", "--address", `${host}:${port}`, join(folder, "data")],
      environment: systemEnvironment(folder, {
        MINIO_ROOT_USER: accessKeyId,
        MINIO_ROOT_PASSWORD: secretAccessKey,
        MINIO_REGION: region,
        MINIO_BROWSER: "off",
        MINIO_UPDATE: "off",
        MINIO_CI_CD: "on",
      }),
    }),
    // Its health is good before its objects can be asked for.
    isReady: async ({ host, port }) => {
      const access = { endpoint: `http://${host}:${port}`, region, accessKeyId, secretAccessKey };
      return (
        (await answersWell(`${access.endpoint}/minio/health/ready`)) &&
        (await signedS3Request(access, { method: "GET", path: "/" })).status === 200
      );
    },
  });
  const access: S3Access = {
    endpoint: `http://${system.host}:${system.port}`,
    region,
    accessKeyId,
    secretAccessKey,
  };
  const request = (order: S3Request) => signedS3Request(access, order);
  return {
    ...system,
    ...access,
    request,
    createBucket: async (name) => {
      await expectStatus(await request({ method: "PUT", path: `/${name}` }), 200);
    },
  };
}
