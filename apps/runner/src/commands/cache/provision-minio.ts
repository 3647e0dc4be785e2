import { resolve } from "node:path";
import type { CommandAction, Invocation } from "../../command.ts";
import type { CliContext } from "../../context.ts";
import { UsageError } from "../../errors.ts";
import { type MinioContainer, serverAddressOf, startMinioContainer } from "../../cache/minio-container.ts";
import { makeFolder } from "../../make-folder.ts";

const DEFAULT_PORT = 9005;
/** What would be refused only when the container is there already, or by a server that nobody sees end. */
const RULES = {
  /** @see https://docs.docker.com/reference/api/engine/version/v1.41/#tag/Container/operation/ContainerCreate */
  name: { rule: /^[a-zA-Z0-9][\w.-]+$/, cure: "Give letters, digits, dots, underscores and hyphens." },
  image: { rule: /^\S+$/, cure: "Give the name of an image, for example minio/minio." },
  address: {
    rule: /^(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]+)$/i,
    cure: "Give a host name or an IP address alone; the port has an option of its own.",
  },
  port: { rule: /^\d{1,5}$/, cure: "Give a number from 1 to 65535." },
  // A colon ends the folder where the engine reads it.
  data: { rule: /^[^:]+$/s, cure: "Give a folder without a colon in its path." },
  /** @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
  bucket: {
    rule: /^(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/,
    cure: "Give 3 to 63 lower-case letters, digits, dots and hyphens.",
  },
  /** @see https://min.io/docs/minio/linux/reference/minio-server/settings/root-credentials.html */
  user: { rule: /^.{3,}$/s, cure: "Give at least three characters." },
  password: { rule: /^.{8,}$/s, cure: "Give at least eight characters." },
} as const;

/** Starts MinIO in a container, makes the bucket and prints what config.toml needs. */
export const cacheProvisionMinio: CommandAction = async (invocation, context) => {
  const wanted = readOptions(invocation, context);
  const { forced } = context.stop;
  const { createBucket } = await import("@fleetfoot/cache-backend-s3");
  await makeFolder(wanted.dataDirectory, 0o700);
  context.stderr.write(`Starting ${wanted.image} as ${wanted.name} on port ${wanted.port} ...\n`);
  const { user, password } = await startMinioContainer(wanted, { environment: context.environment, signal: forced });
  const access = {
    serverAddress: serverAddressOf(wanted),
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
  const given = (name: keyof typeof RULES): string | undefined => {
    const value = invocation.text(name);
    const { rule, cure } = RULES[name];
    if (value === undefined || rule.test(value)) return value;
    // A password is for nobody to see.
    throw new UsageError(`--${name}${name === "password" ? "" : ` ${JSON.stringify(value)}`} cannot be used.`, {
      cure,
    });
  };
  const port = Number(given("port") ?? DEFAULT_PORT);
  if (port < 1 || port > 65_535) throw new UsageError(`--port ${port} is no port.`, { cure: RULES.port.cure });
  const dataDirectory = resolve(context.workingDirectory, given("data") ?? "/srv/minio");
  return {
    name: given("name") ?? "fleetfoot-minio",
    image: given("image") ?? "minio/minio",
    port,
    dataDirectory,
    bucket: given("bucket") ?? "runner-cache",
    user: given("user"),
    address: given("address")?.toLowerCase() ?? "127.0.0.1",
    password: given("password"),
  };
}
