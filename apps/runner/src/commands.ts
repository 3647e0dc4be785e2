import { cacheCommands } from "./cache-commands.ts";
import type { Command, OptionTable } from "./command.ts";
import { dockerOptions } from "./docker-options.ts";

const configOption = {
  config: {
    type: "string",
    short: "c",
    value: "FILE",
    variable: "CONFIG_FILE",
    help: "configuration file; default: /etc/gitlab-runner/config.toml as root, else ~/.gitlab-runner/config.toml",
  },
} as const satisfies OptionTable;

const processOptions = {
  ...configOption,
  "working-directory": {
    type: "string",
    short: "d",
    value: "DIR",
    help: "where builds/ and cache/ are made; default: the current folder",
  },
  "log-level": {
    type: "string",
    short: "l",
    value: "LEVEL",
    variable: "LOG_LEVEL",
    help: "debug, info, warning or error; default: info",
  },
  "log-format": {
    type: "string",
    value: "FORMAT",
    variable: "LOG_FORMAT",
    help: "runner, text or json; default: runner",
  },
} as const satisfies OptionTable;

const runnerOptions = {
  url: { type: "string", short: "u", value: "URL", variable: "CI_SERVER_URL", help: "address of the GitLab instance" },
  token: {
    type: "string",
    short: "t",
    value: "TOKEN",
    variable: "CI_SERVER_TOKEN",
    help: "authentication token of the runner (glrt-...)",
  },
  name: {
    type: "string",
    value: "NAME",
    variable: "RUNNER_NAME",
    help: "name of the runner in this file; default: the host's name",
  },
  executor: { type: "string", value: "NAME", variable: "RUNNER_EXECUTOR", help: "what runs the jobs: shell or docker" },
  shell: { type: "string", value: "NAME", variable: "RUNNER_SHELL", help: "bash (default) or sh" },
  "builds-dir": { type: "string", value: "DIR", variable: "RUNNER_BUILDS_DIR", help: "where working copies are kept" },
  "cache-dir": { type: "string", value: "DIR", variable: "RUNNER_CACHE_DIR", help: "where caches are kept" },
  "tls-ca-file": {
    type: "string",
    value: "FILE",
    variable: "CI_SERVER_TLS_CA_FILE",
    help: "authorities to trust in addition to the system's; default: certs/HOST.crt beside the default configuration",
  },
  "tls-cert-file": {
    type: "string",
    value: "FILE",
    variable: "CI_SERVER_TLS_CERT_FILE",
    help: "certificate of this runner; default: certs/HOST.auth.crt",
  },
  "tls-key-file": {
    type: "string",
    value: "FILE",
    variable: "CI_SERVER_TLS_KEY_FILE",
    help: "its key; default: certs/HOST.auth.key",
  },
  ...dockerOptions,
} as const satisfies OptionTable;

const selectionOptions = {
  ...configOption,
  name: { type: "string", short: "n", value: "NAME", help: "the runner of this name" },
  url: { type: "string", short: "u", value: "URL", help: "the runners of this instance" },
  token: { type: "string", short: "t", value: "TOKEN", help: "the runner of this token" },
} as const satisfies OptionTable;

const pipelineOptions = {
  directory: { type: "string", short: "C", value: "DIR", help: "the project; default: the current folder" },
  needs: { type: "boolean", help: "run what the named jobs need, too" },
  variable: { type: "string", short: "v", value: "KEY=VALUE", multiple: true, help: "a variable for all jobs" },
  secret: {
    type: "string",
    short: "s",
    value: "KEY[=VALUE]",
    multiple: true,
    help: "a masked variable; without a value, the one in the environment",
  },
  source: { type: "string", value: "SOURCE", help: "push (default), merge_request_event, schedule, web or api" },
  committed: { type: "boolean", help: "leave uncommitted changes out" },
  protected: {
    type: "string",
    value: "BRANCH",
    multiple: true,
    help: "a protected branch, for the separation of caches; default: the default branch",
  },
  "separate-caches": {
    type: "boolean",
    help: "keep the caches of protected branches apart; on unless --no-separate-caches",
  },
  quiet: { type: "boolean", short: "q", help: "leave out what the jobs print" },
} as const satisfies OptionTable;

const cacheNameWidth = Math.max(...cacheCommands.map(({ name }) => name.length));

/** Every command, in the order in which the help lists them. */
export const commands: readonly Command[] = [
  {
    name: "exec",
    summary: "run the pipeline of .gitlab-ci.yml on this machine",
    operands: "[job...]",
    description:
      "Runs the pipeline of a project on this machine, with the code that runs jobs of a GitLab instance. Uncommitted changes take part; the\n" +
      "working tree is not touched. Jobs named on the command line run whatever their rules say, without the others.",
    options: {
      file: {
        type: "string",
        short: "f",
        value: "FILE",
        help: "configuration, relative to the project; default: .gitlab-ci.yml",
      },
      list: { type: "boolean", help: "print the jobs instead of running them" },
      json: { type: "boolean", help: "print JSON (with --list)" },
      ...pipelineOptions,
      concurrency: {
        type: "string",
        short: "j",
        value: "N",
        help: "jobs at once; default: the number of processors, at least 4",
      },
      "state-dir": {
        type: "string",
        value: "DIR",
        help: "where everything is kept; default: .fleetfoot in the project",
      },
      executor: { type: "string", value: "NAME", help: "where scripts run: shell (default), or docker for containers" },
      image: { type: "string", value: "IMAGE", help: "image of jobs that name none, with --executor docker" },
      shell: { type: "string", value: "NAME", help: "bash (default) or sh" },
    },
    examples: [
      "fleetfoot exec",
      "fleetfoot exec unit lint",
      "fleetfoot exec --list --json",
      "fleetfoot exec --secret DEPLOY_TOKEN --variable REGION=eu",
    ],
    load: async () => (await import("./commands/exec.ts")).exec,
  },
  {
    name: "coordinator",
    summary: "give the jobs of .gitlab-ci.yml to runners that register here",
    operands: "[job...]",
    description:
      "Serves the pipeline of a project to any runner that speaks the GitLab Runner protocol, also on other machines: sources, variables,\n" +
      "artifacts and logs. Prints how to register one, and ends with the pipeline. SIGINT keeps what there is: the same command goes on with it.\n" +
      "SIGQUIT lets running jobs finish before. Uncommitted changes take part, as with fleetfoot exec.",
    options: {
      pipeline: {
        type: "string",
        short: "f",
        value: "FILE",
        help: "configuration, relative to the project; default: .gitlab-ci.yml",
      },
      listen: {
        type: "string",
        value: "HOST:PORT",
        help: "where runners find it; default: 127.0.0.1:8080, reachable from this machine only",
      },
      url: { type: "string", short: "u", value: "URL", help: "address for runners and jobs, where it is another one" },
      "tls-certificate": { type: "string", value: "FILE", help: "serves https with this certificate (PEM)" },
      "tls-key": { type: "string", value: "FILE", help: "its key" },
      keep: { type: "boolean", help: "stay when the pipeline has ended; SIGHUP runs it again" },
      new: { type: "boolean", help: "start over: cancel the pipeline that an earlier process did not end" },
      tags: { type: "string", value: "TAGS", help: "tags of the runner of the printed token, separated by commas" },
      "match-tags": { type: "boolean", help: "give jobs to runners with their tags only; so it is with --tags" },
      ...pipelineOptions,
      "state-dir": {
        type: "string",
        value: "DIR",
        help: "where everything is kept; default: .fleetfoot/served in the project",
      },
    },
    examples: [
      "fleetfoot coordinator",
      "fleetfoot coordinator --pipeline .gitlab-ci.yml --listen 0.0.0.0:8080 --url http://build-host:8080 --keep",
    ],
    load: async () => (await import("./commands/coordinator.ts")).coordinator,
  },
  {
    name: "run",
    summary: "take jobs from the instances in config.toml and run them",
    operands: "",
    description:
      "Polls every runner of config.toml and runs the jobs that it gets. SIGQUIT lets running jobs finish; SIGTERM and SIGINT stop them and\n" +
      "report them as interrupted; SIGHUP, or a change of the file, loads the configuration again.",
    options: {
      ...processOptions,
      "listen-address": {
        type: "string",
        value: "ADDRESS",
        variable: "LISTEN_ADDRESS",
        help: "where metrics are served, for this machine alone: :9252; default: listen_address of the file, else nowhere",
      },
    },
    examples: ["fleetfoot run", "fleetfoot run --config ./config.toml --working-directory /var/lib/fleetfoot"],
    load: async () => (await import("./commands/run.ts")).run,
  },
  {
    name: "run-single",
    summary: "run jobs of one instance without a configuration file",
    operands: "",
    description: "Runs jobs of one runner that is described on the command line, or named in a configuration file.",
    options: {
      ...processOptions,
      ...runnerOptions,
      runner: { type: "string", short: "r", value: "NAME", help: "take this runner from the configuration file" },
      "max-builds": {
        type: "string",
        value: "N",
        variable: "RUNNER_MAX_BUILDS",
        help: "end after so many jobs; default: 0, never",
      },
      "wait-timeout": {
        type: "string",
        value: "SECONDS",
        variable: "RUNNER_WAIT_TIMEOUT",
        help: "end when no job came for so long; default: 0, never",
      },
    },
    examples: [
      "fleetfoot run-single --url https://gitlab.example.com --token glrt-... --executor shell --max-builds 1",
    ],
    load: async () => (await import("./commands/run-single.ts")).runSingle,
  },
  {
    name: "register",
    summary: "add a runner to config.toml",
    operands: "",
    description:
      "Checks a runner's token with its instance and writes the runner into config.toml. Create the runner in the instance's settings first; they\n" +
      "show the token. What is missing is asked for, unless --non-interactive. Options that begin with --docker go into [runners.docker]; the\n" +
      "tables of that section (ulimit, tmpfs, sysctls, services and others) are written into the file by hand.",
    options: {
      ...configOption,
      ...runnerOptions,
      description: { type: "string", value: "NAME", help: "the same as --name" },
      "registration-token": {
        type: "string",
        short: "r",
        value: "TOKEN",
        variable: "REGISTRATION_TOKEN",
        help: "registration token of an older instance",
      },
      "tag-list": {
        type: "string",
        value: "TAGS",
        variable: "RUNNER_TAG_LIST",
        help: "tags, separated by commas (registration token only)",
      },
      limit: {
        type: "string",
        value: "N",
        variable: "RUNNER_LIMIT",
        help: "jobs of this runner at once; default: 0, no limit",
      },
      env: { type: "string", value: "KEY=VALUE", multiple: true, help: "a variable for all jobs of this runner" },
      "non-interactive": {
        type: "boolean",
        short: "n",
        variable: "REGISTER_NON_INTERACTIVE",
        help: "ask nothing; fail when something is missing",
      },
    },
    examples: [
      "fleetfoot register",
      "fleetfoot register -n --url https://gitlab.example.com --token glrt-... --executor shell",
      "fleetfoot register -n --url https://gitlab.example.com --token glrt-... --executor docker --docker-image node:24",
    ],
    load: async () => (await import("./commands/register.ts")).register,
  },
  {
    name: "verify",
    summary: "ask the instances whether the runners' tokens still work",
    operands: "",
    description: "Checks each runner of config.toml with its instance. Ends with 1 when a token was refused.",
    options: {
      ...selectionOptions,
      delete: { type: "boolean", help: "remove the runners whose token was refused from the file" },
    },
    examples: ["fleetfoot verify", "fleetfoot verify --delete"],
    load: async () => (await import("./commands/verify.ts")).verify,
  },
  {
    name: "unregister",
    summary: "remove a runner from its instance and from config.toml",
    operands: "",
    description: "Removes runners. One that the instance does not remove stays in the file.",
    options: { ...selectionOptions, "all-runners": { type: "boolean", help: "every runner of the file" } },
    examples: ["fleetfoot unregister --name build-box", "fleetfoot unregister --all-runners"],
    load: async () => (await import("./commands/unregister.ts")).unregister,
  },
  {
    name: "list",
    summary: "show the runners of config.toml",
    operands: "",
    description: "Prints each runner's name, executor, instance and shortened token.",
    options: { ...configOption, json: { type: "boolean", help: "print JSON" } },
    examples: ["fleetfoot list"],
    load: async () => (await import("./commands/list.ts")).list,
  },
  {
    name: "cache",
    summary: "create, restore, list, inspect and remove caches",
    operands: "COMMAND",
    description: [
      "Looks after caches. Its commands:",
      "",
      ...cacheCommands.map(({ name, summary }) => `  ${name.padEnd(cacheNameWidth)}  ${summary}`),
    ].join("\n"),
    options: {},
    examples: ["fleetfoot cache ls", "fleetfoot cache prune --older-than 14d", "fleetfoot cache create --help"],
    load: async () => (await import("./commands/cache/group.ts")).cacheGroup,
  },
  ...cacheCommands,
];
