import type { ServeTokens } from "./tokens.ts";

/** How runners are made to take jobs from here, to be copied into a shell. */
export function instructions(url: string, tokens: ServeTokens): string {
  const containers = `--executor docker --docker-image ${IMAGE}`;
  // A container of GitLab Runner's own fetches the sources, and has another loopback address than this machine.
  const network = isLoopback(url) ? " --docker-network-mode host" : "";
  const common = `--non-interactive --url ${url}`;
  return [
    `Coordinator at ${url}`,
    "",
    "Register a runner, then start it:",
    `  gitlab-runner register ${common} --token ${tokens.runner} --executor shell && gitlab-runner run`,
    `  fleetfoot register ${common} --token ${tokens.runner} --executor shell && fleetfoot run`,
    `The same with containers, ${IMAGE} for jobs that name no image:`,
    `  gitlab-runner register ${common} --token ${tokens.runner} ${containers}${network} && gitlab-runner run`,
    `  fleetfoot register ${common} --token ${tokens.runner} ${containers} && fleetfoot run`,
    "GitLab Runner before 15.10 knows registration tokens only:",
    `  gitlab-runner register ${common} --registration-token ${tokens.registration} --executor shell && gitlab-runner run`,
    "",
    "",
  ].join("\n");
}

const IMAGE = "node:24";

function isLoopback(url: string): boolean {
  return /^(?:localhost|127\..*|\[::1\])$/.test(new URL(url).hostname);
}
