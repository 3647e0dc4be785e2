import type { ServeTokens } from "./tokens.ts";

/** How runners are made to take jobs from here, to be copied into a shell. */
export function instructions(url: string, tokens: ServeTokens): string {
  const common = `--non-interactive --url ${url}`;
  return [
    `Coordinator at ${url}`,
    "",
    "Register a runner, then start it:",
    `  gitlab-runner register ${common} --token ${tokens.runner} --executor shell && gitlab-runner run`,
    `  fleetfoot register ${common} --token ${tokens.runner} --executor shell && fleetfoot run`,
    "GitLab Runner before 15.10 knows registration tokens only:",
    `  gitlab-runner register ${common} --registration-token ${tokens.registration} --executor shell && gitlab-runner run`,
    "",
    "",
  ].join("\n");
}
