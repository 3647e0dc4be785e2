import Docker from "dockerode";
import type { CommandAction } from "../command.ts";
import { UsageError } from "../errors.ts";

/**
 * Starts the classical mirror with the settings that its guide documents.
 *
 * @see https://docs.gitlab.com/runner/configuration/speed_up_job_execution/#use-a-docker-registry-mirror
 */
export const classic: CommandAction = async (invocation, context) => {
  const image = invocation.text("image") ?? "registry:2";
  const name = invocation.text("name") ?? "registry";
  const port = invocation.text("port") ?? "6000";
  if (!/^[1-9]\d{0,4}$/.test(port) || Number(port) > 65_535)
    throw new UsageError(`--port: ${JSON.stringify(port)} is no port`);
  const upstream = invocation.text("upstream") ?? "https://registry-1.docker.io";
  const docker = new Docker({ socketPath: invocation.text("socket") ?? "/var/run/docker.sock" });
  try {
    if (!(await hasImage(docker, image))) {
      context.stderr.write(`pulling ${image}\n`);
      const progress = await docker.pull(image);
      await new Promise<void>((resolve, reject) => {
        docker.modem.followProgress(progress, (error) => (error === null ? resolve() : reject(error)));
      });
    }
    const container = await docker.createContainer({
      name,
      Image: image,
      Env: [`REGISTRY_PROXY_REMOTEURL=${upstream}`, "REGISTRY_STORAGE_DELETE_ENABLED=true"],
      ExposedPorts: { "5000/tcp": {} },
      HostConfig: { RestartPolicy: { Name: "always" }, PortBindings: { "5000/tcp": [{ HostPort: port }] } },
    });
    await container.start();
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UsageError(`the container ${name} cannot be started: ${reason}`, { cause: error });
  }
  context.stdout.write(
    `container ${name} (${image}) mirrors ${upstream} on port ${port} of this machine, without TLS\n`,
  );
  return 0;
};

async function hasImage(docker: Docker, image: string): Promise<boolean> {
  try {
    await docker.getImage(image).inspect();
    return true;
  } catch (error) {
    if (error instanceof Error && "statusCode" in error && error.statusCode === 404) return false;
    throw error;
  }
}
