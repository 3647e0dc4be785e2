import type { Command, OptionDescription } from "./command.ts";

const settingsOptions: Readonly<Record<string, OptionDescription>> = {
  config: { type: "string", value: "FILE", help: "settings (TOML); flags and variables go before what it says" },
  listen: {
    type: "string",
    multiple: true,
    value: "ADDRESS",
    help: "where engines come to; default: 127.0.0.1:6000 (env REGISTRY_HTTP_ADDR)",
  },
  connect: { type: "boolean", help: "also serve clients that can only be given an HTTP proxy ([connect])" },
};

const operatorOption: OptionDescription = {
  type: "string",
  value: "ADDRESS",
  help: "where operators come to: /metrics, /readyz, the status page; default: 127.0.0.1:6001",
};

const upstreamOption: OptionDescription = {
  type: "string",
  value: "URL",
  help: "what is mirrored; default: Docker Hub (env REGISTRY_PROXY_REMOTEURL)",
};

const filterOptions: Readonly<Record<string, OptionDescription>> = {
  config: { type: "string", value: "FILE", help: "settings of the mirror (TOML), for its operators' address" },
  operators: operatorOption,
  upstream: { type: "string", value: "ID", help: "only of this upstream" },
  search: { type: "string", value: "TEXT", help: "only names with this text" },
  json: { type: "boolean", help: "print JSON" },
};

/** Every command, in the order in which the help lists them. */
export const commands: readonly Command[] = [
  {
    name: "serve",
    summary: "Serves the mirror until it is stopped",
    operands: "",
    options: {
      ...settingsOptions,
      operators: operatorOption,
      data: {
        type: "string",
        value: "DIR",
        help: "where everything is kept; default: /var/lib/fleetfoot-mirror as root",
      },
      upstream: upstreamOption,
      "max-size": { type: "string", value: "SIZE", help: "limit of the stored blobs, for example 50GB; default: none" },
      "tls-cert": { type: "string", value: "FILE", help: "certificate chain (PEM); read again at SIGHUP" },
      "tls-key": { type: "string", value: "FILE", help: "its key (PEM)" },
      advertise: {
        type: "string",
        value: "HOST[:PORT]",
        help: "how engines call this mirror, for what is printed at the start",
      },
      "allow-shared": {
        type: "boolean",
        help: "let everybody who reaches the mirror have what its credentials open, also from other machines",
      },
    },
    examples: ["fleetfoot-mirror serve", "fleetfoot-mirror serve --listen 10.1.2.3:6000 --max-size 50GB"],
    load: async () => (await import("./serve/serve.ts")).serve,
  },
  {
    name: "configure",
    summary: "Prints or writes what a client needs to use the mirror",
    operands: "CLIENT",
    choices: [
      ["dockerd", "Docker's daemon.json"],
      ["docker-machine", "MachineOptions of a runner's config.toml"],
      ["containerd", "hosts.toml for all registries"],
      ["buildkit", "buildkitd.toml, for docker buildx create --config"],
      ["podman", "registries.conf, also for Buildah, skopeo and CRI-O"],
      ["dind", "the service docker:dind of a job"],
      ["connect", "a script for clients that can only be given an HTTP proxy (--client)"],
      ["ca", "the certificate authority of CONNECT mode"],
      ["proxy-user NAME", "an entry of connect.proxyAuth; its password is in FLEETFOOT_PROXY_PASSWORD"],
    ],
    options: {
      ...settingsOptions,
      upstream: upstreamOption,
      advertise: { type: "string", value: "HOST[:PORT]", help: "address of the mirror, as clients reach it" },
      tls: { type: "boolean", help: "the mirror speaks TLS" },
      client: {
        type: "string",
        value: "CLIENT",
        help: "with connect: dockerd, containerd or podman; default: dockerd",
      },
      "no-proxy": {
        type: "string",
        multiple: true,
        value: "HOSTS",
        help: "with connect: what the client reaches itself, for example .corp.example",
      },
      data: { type: "string", value: "DIR", help: "with connect and ca: where the mirror keeps everything" },
      renew: { type: "boolean", help: "with ca: a new certificate for the same key, with the hosts of the settings" },
      write: { type: "boolean", help: "write it: dockerd (and reload it), containerd" },
      remove: { type: "boolean", help: "with --write: take it out again" },
      file: { type: "string", value: "PATH", help: "file to write; default: the client's own" },
      unit: { type: "string", value: "PATH", help: "unit of dockerd, which is looked through for flags" },
      "pid-file": { type: "string", value: "PATH", help: "of the dockerd to reload; default: /var/run/docker.pid" },
      verbose: { type: "boolean", help: "show every address that was considered" },
      json: { type: "boolean", help: "print JSON: the address, why it was chosen, and the text" },
    },
    examples: [
      "fleetfoot-mirror configure dockerd",
      "fleetfoot-mirror configure dockerd --write --advertise 10.1.2.3",
      "fleetfoot-mirror configure connect --connect --client dockerd --advertise 10.1.2.3",
      "fleetfoot-mirror configure ca --connect",
      "FLEETFOOT_PROXY_PASSWORD=... fleetfoot-mirror configure proxy-user robot",
    ],
    load: async () => (await import("./configure/configure.ts")).configure,
  },
  {
    name: "stats",
    summary: "Shows how a running mirror is doing, or what it has",
    operands: "",
    options: { ...filterOptions, entries: { type: "boolean", help: "list what is cached" } },
    examples: ["fleetfoot-mirror stats", "fleetfoot-mirror stats --entries --upstream hub --search node"],
    load: async () => (await import("./commands/stats.ts")).stats,
  },
  {
    name: "prune",
    summary: "Removes what is cached from a running mirror",
    operands: "",
    options: {
      ...filterOptions,
      name: { type: "string", value: "NAME", help: "only this name" },
      reference: { type: "string", value: "TAG|DIGEST", help: "only this tag or digest" },
      all: { type: "boolean", help: "everything that the other options leave" },
    },
    examples: ["fleetfoot-mirror prune --upstream hub --name library/node", "fleetfoot-mirror prune --all"],
    load: async () => (await import("./commands/prune.ts")).prune,
  },
  {
    name: "doctor",
    summary: "Checks the mirror, and whether the Docker engine of this machine uses it",
    operands: "",
    options: {
      ...settingsOptions,
      operators: operatorOption,
      advertise: { type: "string", value: "HOST[:PORT]", help: "address of the mirror, as the engine calls it" },
      tls: { type: "boolean", help: "the mirror speaks TLS" },
      socket: { type: "string", value: "PATH", help: "socket of the engine; default: /var/run/docker.sock" },
    },
    examples: ["fleetfoot-mirror doctor --advertise 10.1.2.3:6000"],
    load: async () => (await import("./commands/doctor.ts")).doctor,
  },
  {
    name: "classic",
    summary: "Starts the classical mirror instead: the image registry:2 in a container",
    operands: "",
    options: {
      port: { type: "string", value: "PORT", help: "of this machine; default: 6000" },
      image: { type: "string", value: "IMAGE", help: "default: registry:2" },
      name: { type: "string", value: "NAME", help: "of the container; default: registry" },
      upstream: { type: "string", value: "URL", help: "default: https://registry-1.docker.io" },
      socket: { type: "string", value: "PATH", help: "socket of the engine; default: /var/run/docker.sock" },
    },
    examples: ["fleetfoot-mirror classic"],
    load: async () => (await import("./commands/classic.ts")).classic,
  },
];
