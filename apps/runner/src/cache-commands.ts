import type { Command, OptionTable } from "./command.ts";

const placeOptions = {
  directory: { type: "string", short: "C", value: "DIR", help: "the project; default: the current folder" },
  "state-dir": { type: "string", value: "DIR", help: "state of local runs; default: .fleetfoot in the project" },
  "cache-dir": { type: "string", value: "DIR", help: "cache_dir of a runner, instead of the caches of local runs" },
} as const satisfies OptionTable;

const storeOptions = {
  config: { type: "string", short: "c", value: "FILE", help: "configuration with the runner whose store is meant" },
  runner: { type: "string", value: "NAME", help: "the runner whose store is meant, instead of this host" },
  "project-id": { type: "string", value: "N", help: "with a store: the project" },
} as const satisfies OptionTable;

const entryOptions = {
  ...placeOptions,
  ...storeOptions,
  project: {
    type: "string",
    value: "PATH",
    help: "with --cache-dir: the project's folder in it, for example group/app",
  },
  key: {
    type: "string",
    short: "k",
    value: "KEY",
    help: "key of the cache; what jobs save ends in -protected or -non_protected, as cache ls shows",
  },
  path: { type: "string", short: "p", value: "PATTERN", multiple: true, help: "files and folders of the project" },
  untracked: { type: "boolean", help: "files that git does not track, too" },
} as const satisfies OptionTable;

const jsonOption = { json: { type: "boolean", help: "print JSON" } } as const satisfies OptionTable;

/** Everything about caches, in the order in which the help lists it. */
export const cacheCommands: readonly Command[] = [
  {
    name: "cache create",
    summary: "save files of a project",
    operands: "",
    description:
      "Saves files of a project under a key, as a job does. Nothing is written when they are what was saved last.",
    options: {
      ...entryOptions,
      exclude: { type: "string", value: "PATTERN", multiple: true, help: "what is left out" },
      "if-absent": { type: "boolean", help: "leave a cache that is there as it is" },
    },
    examples: ["fleetfoot cache create --key modules --path node_modules"],
    load: async () => (await import("./commands/cache/create.ts")).cacheCreate,
  },
  {
    name: "cache restore",
    summary: "restore files of a project",
    operands: "",
    description:
      "Restores files of a project from the first key that has a cache. A restore that fails leaves nothing half done, and ends with 1.",
    options: {
      ...entryOptions,
      "fallback-key": { type: "string", value: "KEY", multiple: true, help: "tried in turn when the key has no cache" },
      "fail-on-miss": { type: "boolean", help: "end with 1 when no key has a cache" },
    },
    examples: ["fleetfoot cache restore --key modules --fallback-key modules-main --path node_modules"],
    load: async () => (await import("./commands/cache/restore.ts")).cacheRestore,
  },
  {
    name: "cache inspect",
    summary: "show what is known of one cache",
    operands: "NAME|FILE",
    description:
      "Prints format, size, time and what was stored with a cache: its key, the platform that made it, the digest of its content.",
    options: { ...placeOptions, ...storeOptions, ...jsonOption },
    examples: [
      "fleetfoot cache inspect project-1/modules",
      "fleetfoot cache inspect --runner build-box 42/modules",
      "fleetfoot cache inspect ./cache.zip",
    ],
    load: async () => (await import("./commands/cache/inspect.ts")).cacheInspect,
  },
  {
    name: "cache ls",
    summary: "list caches",
    operands: "[PREFIX]",
    description:
      "Lists the caches of local runs, or of a runner's cache_dir, with their sizes and when they were used last.",
    options: { ...placeOptions, ...storeOptions, ...jsonOption },
    examples: [
      "fleetfoot cache ls",
      "fleetfoot cache ls --cache-dir /home/gitlab-runner/cache group/app",
      "fleetfoot cache ls --runner build-box",
    ],
    load: async () => (await import("./commands/cache/ls.ts")).cacheLs,
  },
  {
    name: "cache rm",
    summary: "remove caches by name",
    operands: "NAME...",
    description: "Removes caches. When one of the names does not exist, nothing is removed.",
    options: { ...placeOptions, ...storeOptions },
    examples: ["fleetfoot cache rm project-1/modules"],
    load: async () => (await import("./commands/cache/rm.ts")).cacheRm,
  },
  {
    name: "cache prune",
    summary: "remove caches that are old, or that are too much",
    operands: "",
    description:
      "Removes caches, the oldest one first, until what is left fits the limits. On a host the age of a cache counts from its last use; a store only\n" +
      "knows when a cache was saved, so one that is restored every day, but not saved again, is as old there as one that nobody uses.\n" +
      "What processes that were killed left on this host goes a day later, whatever the limits.",
    options: {
      ...placeOptions,
      ...storeOptions,
      "older-than": { type: "string", value: "AGE", help: "remove what is older, for example 14d" },
      "max-size": { type: "string", value: "SIZE", help: "keep at most so much, for example 10GB" },
      "dry-run": { type: "boolean", short: "n", help: "only say what would be removed" },
    },
    examples: ["fleetfoot cache prune --older-than 14d --max-size 10GB"],
    load: async () => (await import("./commands/cache/prune.ts")).cachePrune,
  },
  {
    name: "cache clear",
    summary: "let the next local run begin without caches",
    operands: "",
    description:
      "Raises the number at the end of all keys of local runs, so that nobody finds the old caches. Nothing is removed; for jobs of an instance,\n" +
      "use the button of the project there.",
    options: { directory: placeOptions.directory, "state-dir": placeOptions["state-dir"] },
    examples: ["fleetfoot cache clear"],
    load: async () => (await import("./commands/cache/clear.ts")).cacheClear,
  },
  {
    name: "cache lifecycle",
    summary: "let a bucket forget caches by itself",
    operands: "",
    description:
      "Prints the rule that lets the runner's bucket forget caches after some days, or applies it: a cache that is saved again begins anew, and\n" +
      "rules of others stay. Azure takes such rules from its management interface alone, so there the command to run is printed.",
    options: {
      ...storeOptions,
      days: { type: "string", value: "N", help: "days after which a cache goes; default: 14" },
      apply: { type: "boolean", help: "set the rule in the bucket" },
    },
    examples: ["fleetfoot cache lifecycle --runner build-box --days 30 --apply"],
    load: async () => (await import("./commands/cache/lifecycle.ts")).cacheLifecycle,
  },
  {
    name: "cache provision-minio",
    summary: "start a MinIO server for caches in a container",
    operands: "",
    description:
      "Starts a MinIO container on the Docker engine of this host, makes a bucket, and prints the section of config.toml that uses it. A container of\n" +
      "that name that is there already is started again.",
    options: {
      name: { type: "string", value: "NAME", help: "name of the container; default: fleetfoot-minio" },
      image: { type: "string", value: "IMAGE", help: "default: minio/minio" },
      address: {
        type: "string",
        value: "HOST",
        help: "under which the runners reach this host; default: 127.0.0.1, for runners of this host alone",
      },
      port: { type: "string", value: "N", help: "port of this host; default: 9005" },
      data: { type: "string", value: "DIR", help: "folder that keeps the caches; default: /srv/minio" },
      bucket: { type: "string", value: "NAME", help: "default: runner-cache" },
      user: { type: "string", value: "NAME", variable: "MINIO_ROOT_USER", help: "root user; default: fleetfoot" },
      password: {
        type: "string",
        value: "TEXT",
        variable: "MINIO_ROOT_PASSWORD",
        help: "its password; default: a new one, printed with the section",
      },
    },
    examples: ["fleetfoot cache provision-minio", "fleetfoot cache provision-minio --port 9000 --data /var/lib/minio"],
    load: async () => (await import("./commands/cache/provision-minio.ts")).cacheProvisionMinio,
  },
];
