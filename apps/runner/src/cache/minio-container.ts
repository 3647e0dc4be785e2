import { randomBytes } from "node:crypto";
import { BlockList, isIP } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type Dockerode from "dockerode";
import { UsageError } from "../errors.ts";

/** What the container is to be. */
export interface MinioContainer {
  readonly name: string;
  readonly image: string;
  /** Port of this host; the server listens on 9000 in its container. */
  readonly port: number;
  /** Absolute path of the folder that keeps the objects. */
  readonly dataDirectory: string;
  /** @default that of the container that is there, or `fleetfoot` */
  readonly user?: string | undefined;
  /** @default that of the container that is there, or a new one */
  readonly password?: string | undefined;
  /** Name or address under which this host is reached, one of IPv6 without brackets. With one of the host itself nobody else reaches the server. */
  readonly address: string;
}

/** Where the server is reached, a host and a port. */
export function serverAddressOf({ address, port }: Pick<MinioContainer, "address" | "port">): string {
  return `${isIP(address) === 6 ? `[${address}]` : address}:${port}`;
}

/** Root user of the server. */
export interface MinioCredentials {
  readonly user: string;
  readonly password: string;
}

const DEFAULT_USER = "fleetfoot";
const SERVER_PORT = "9000/tcp";
const READY_TIMEOUT_MS = 60_000;
const READY_INTERVAL_MS = 200;

/**
 * Starts the container and waits until the server answers. One of that name is started as it is, when it is what is wanted.
 *
 * @throws {UsageError} there is no engine, the image cannot be had, or the container is another one
 */
export async function startMinioContainer(
  wanted: MinioContainer,
  host: { readonly environment: Readonly<Record<string, string>>; readonly signal: AbortSignal },
): Promise<MinioCredentials> {
  const engine = await openEngine(host.environment);
  await requireEngine(engine);
  const known = await inspect(engine, wanted.name);
  const { user = DEFAULT_USER, password = randomBytes(20).toString("base64url") } = wanted;
  const credentials = known === undefined ? { user, password } : credentialsOf(known);
  if (known === undefined) await create(engine, { ...wanted, ...credentials }, host.signal);
  else requireSame(known, wanted);
  if (known?.State.Running !== true) await start(engine, wanted, known === undefined);
  await untilReady(wanted, host.signal);
  return credentials;
}

/** One that was made just now does not stay where it cannot start: the next try may want another port. */
async function start(engine: Dockerode, { name, image }: MinioContainer, isNew: boolean): Promise<void> {
  const container = engine.getContainer(name);
  try {
    await container.start();
  } catch (error) {
    if (isNew) await container.remove({ force: true });
    throw refusal(error, `start ${image} as ${name}`);
  }
}

/** What the engine says of a request, for people; what it did not say passes as it is. */
function refusal(error: unknown, attempt: string): unknown {
  if (statusOf(error) === undefined || !(error instanceof Error)) return error;
  const reason = error.message.replace(/^\(HTTP code \d+\) [a-z ]+ - /, "").trim();
  return new UsageError(`The engine cannot ${attempt}: ${reason}`, {
    cure: "Give another value for what it names; fleetfoot cache provision-minio --help lists the options.",
    cause: error,
  });
}

function credentialsOf({ Config }: Dockerode.ContainerInspectInfo): MinioCredentials {
  const valueOf = (name: string): string =>
    Config.Env.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1) ?? "";
  return { user: valueOf("MINIO_ROOT_USER"), password: valueOf("MINIO_ROOT_PASSWORD") };
}

/** `DOCKER_HOST`, `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH` as the Docker client reads them. */
async function openEngine(environment: Readonly<Record<string, string>>): Promise<Dockerode> {
  const [{ default: Docker }, { dockerodeOptions }] = await Promise.all([
    import("dockerode"),
    import("@fleetfoot/executor-docker"),
  ]);
  const host = environment["DOCKER_HOST"] ?? "";
  const tlsVerify = (environment["DOCKER_TLS_VERIFY"] ?? "") !== "";
  const tlsCertificatePath = environment["DOCKER_CERT_PATH"] || join(environment["HOME"] ?? "/", ".docker");
  return new Docker(await dockerodeOptions({ host, tlsVerify, tlsCertificatePath }));
}

async function requireEngine(engine: Dockerode): Promise<void> {
  try {
    await engine.ping();
  } catch (cause) {
    throw new UsageError("No Docker engine answers.", {
      cure: "Start it, or say with DOCKER_HOST where it is.",
      cause,
    });
  }
}

async function inspect(engine: Dockerode, name: string): Promise<Dockerode.ContainerInspectInfo | undefined> {
  try {
    return await engine.getContainer(name).inspect();
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}

async function create(
  engine: Dockerode,
  wanted: MinioContainer & MinioCredentials,
  signal: AbortSignal,
): Promise<void> {
  const container = {
    name: wanted.name,
    Image: wanted.image,
    Cmd: ["server", "/data"],
    Env: [`MINIO_ROOT_USER=${wanted.user}`, `MINIO_ROOT_PASSWORD=${wanted.password}`],
    ExposedPorts: { [SERVER_PORT]: {} },
    HostConfig: {
      Binds: [`${wanted.dataDirectory}:/data`],
      PortBindings: { [SERVER_PORT]: [{ HostIp: publishedOn(wanted), HostPort: String(wanted.port) }] },
      RestartPolicy: { Name: "always" },
    },
  };
  try {
    await engine.createContainer(container);
  } catch (error) {
    if (statusOf(error) !== 404) throw refusal(error, `make the container ${wanted.name}`);
    await pull(engine, wanted.image, signal);
    await engine.createContainer(container).catch((second: unknown) => {
      throw refusal(second, `make the container ${wanted.name}`);
    });
  }
}

/** @returns address of this host on which the port is open; empty for all of them */
function publishedOn({ address }: MinioContainer): string {
  if (address === "localhost") return "127.0.0.1";
  return isLoopback(address) ? address : "";
}

function isLoopback(address: string): boolean {
  const family = isIP(address);
  return family !== 0 && LOOPBACK.check(address, family === 6 ? "ipv6" : "ipv4");
}

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

async function pull(engine: Dockerode, image: string, signal: AbortSignal): Promise<void> {
  try {
    const progress = await engine.pull(image, { abortSignal: signal });
    await new Promise<void>((resolve, reject) => {
      engine.modem.followProgress(progress, (error) => (error === null ? resolve() : reject(error)));
    });
  } catch (cause) {
    signal.throwIfAborted();
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new UsageError(`The image ${image} cannot be pulled: ${reason}`, {
      cure: "Name another one with --image, or load it into the engine.",
      cause,
    });
  }
}

function requireSame(known: Dockerode.ContainerInspectInfo, wanted: MinioContainer): void {
  const { HostConfig } = known;
  const ports = HostConfig.PortBindings as Record<string, { HostIp?: string; HostPort: string }[]> | null;
  const bindings = ports?.[SERVER_PORT] ?? [];
  const { user, password } = credentialsOf(known);
  const isSame =
    bindings.length > 0 &&
    bindings.every(({ HostIp = "", HostPort }) => HostIp === publishedOn(wanted) && HostPort === String(wanted.port)) &&
    (HostConfig.Binds ?? []).includes(`${wanted.dataDirectory}:/data`) &&
    (wanted.user ?? user) === user &&
    (wanted.password ?? password) === password;
  if (isSame) return;
  throw new UsageError(
    `There is a container ${wanted.name} already, with another address, port, folder, user or password.`,
    {
      cure: "Give what it was made with, name another one with --name, or remove it.",
    },
  );
}

/**
 * The server has no event to wait for: it is asked. It says of itself that it is ready before it can take a request; of its cluster it says the truth.
 *
 * @see https://min.io/docs/minio/linux/operations/monitoring/healthcheck-probe.html
 */
async function untilReady(wanted: MinioContainer, signal: AbortSignal): Promise<void> {
  const url = `http://${serverAddressOf(wanted)}`;
  const deadline = AbortSignal.any([signal, AbortSignal.timeout(READY_TIMEOUT_MS)]);
  for (;;) {
    try {
      const answer = await fetch(`${url}/minio/health/cluster`, { signal: deadline });
      await answer.body?.cancel();
      if (answer.ok) return;
    } catch (cause) {
      signal.throwIfAborted();
      if (deadline.aborted)
        throw new UsageError(`MinIO does not answer at ${url}.`, {
          cure: `Look into its log with docker logs ${wanted.name}. If the engine is on another host, say with --address how that is reached.`,
          cause,
        });
    }
    await pause(READY_INTERVAL_MS, undefined, { signal: deadline }).catch(() => {});
  }
}

function statusOf(error: unknown): number | undefined {
  return error instanceof Error && "statusCode" in error ? Number(error.statusCode) : undefined;
}
