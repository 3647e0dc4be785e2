import { addRunner, lintRunnerConfig, parseRunnerConfig } from "@fleetfoot/runner-config";

const file = `# Build host 3
concurrent = 4
chek_interval = 10
[[runners]]
name = "host-3"
url = "https://\${GITLAB_HOST}"
token = "glrt-example-1"
executor = "shell"
`;

const { config } = parseRunnerConfig(file, { environment: { GITLAB_HOST: "gitlab.example.com" } });
console.log(config?.runners.map((runner) => `${runner.name} takes jobs of ${runner.url}`).join("\n"));
for (const { severity, path, message } of lintRunnerConfig(file)) console.log(`${severity}: ${path}: ${message}`);

const { url = "" } = config?.runners[0] ?? {};
console.log(addRunner(file, { name: "host-3b", url, token: "glrt-example-2", executor: "shell" }));
