import { resolve } from "node:path";
import type { CommandAction, Invocation } from "../../command.ts";
import type { CliContext } from "../../context.ts";
import { UsageError } from "../../errors.ts";
import { type MinioContainer, startMinioContainer } from "../../cache/minio-container.ts";
import { makeFolder } from "../../make-folder.ts";

const DEFAULT_PORT = 9005;
/** The server's own rule. @see https://min.io/docs/minio/linux/reference/minio-server/settings/root-credentials.html */
const MIN_PASSWORD_LENGTH = 8;

/** Starts MinIO in a container, makes the bucket and prints what config.toml needs. */
export const cacheProvisionMinio: CommandAction = async (invocation, context) => {
  const wanted = readOptions(invocation, context);
  const { forced } = context.stop;
  const { createBucket } = await import("@fleetfoot/cache-backend-s3");
  await makeFolder(wanted.dataDirectory, 0o700);
  context.stderr.write(`Starting ${wanted.image} as ${wanted.name} on port ${wanted.port} ...\n`);
  const { user, password } = await startMinioContainer(wanted, { environment: context.environment, signal: forced });
  const access = {
    serverAddress: `${wanted.address}:${wanted.port}`,
    insecure: true,
    accessKeyId: user,
    secretAccessKey: password,
  };
  await createBucket({ ...access, bucket: wanted.bucket }, forced);
  context.stderr.write(`The bucket ${wanted.bucket} is there. Put this below the runner in config.toml:\n\n`);
  context.stdout.write(
    [
      "  [runners.cache]",
      '    Type = "s3"',
      "    Shared = true",
      "    [runners.cache.s3]",
      `      ServerAddress = ${JSON.stringify(access.serverAddress)}`,
      `      AccessKey = ${JSON.stringify(user)}`,
      `      SecretKey = ${JSON.stringify(password)}`,
      `      BucketName = ${JSON.stringify(wanted.bucket)}`,
      "      Insecure = true",
      "",
    ].join("\n"),
  );
  return 0;
};

function readOptions(invocation: Invocation, context: CliContext): MinioContainer & { readonly bucket: string } {
  const port = Number(invocation.text("port") ?? DEFAULT_PORT);
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new UsageError(`--port ${invocation.text("port")} is no port.`, { cure: "Give a number from 1 to 65535." });
  const password = invocation.text("password");
  if (password !== undefined && password.length < MIN_PASSWORD_LENGTH)
    throw new UsageError("--password is too short for MinIO.", { cure: "Give at least eight characters." });
  return {
    name: invocation.text("name") ?? "fleetfoot-minio",
    image: invocation.text("image") ?? "minio/minio",
    port,
    dataDirectory: resolve(context.workingDirectory, invocation.text("data") ?? "/srv/minio"),
    bucket: invocation.text("bucket") ?? "runner-cache",
    user: invocation.text("user"),
    address: invocation.text("address") ?? "127.0.0.1",
    password,
  };
}
