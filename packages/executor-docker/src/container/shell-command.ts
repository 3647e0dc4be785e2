const SHELLS = [
  "/usr/local/bin/bash",
  "/usr/bin/bash",
  "/bin/bash",
  "/usr/local/bin/sh",
  "/usr/bin/sh",
  "/bin/sh",
  "/busybox/sh",
];

/**
 * What a container runs: the best shell of its image, which then reads the script from its standard input.
 */
export function shellCommand(): string[] {
  const tries = SHELLS.map((path) => `if [ -x ${path} ]; then exec ${path}; fi`);
  return ["sh", "-c", [...tries, "echo shell not found", "exit 1"].join("\n")];
}
