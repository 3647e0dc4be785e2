// Makes a fresh clone ready and runs one of the repository's programs. Plain JavaScript that any Node since 20 runs, because it is
// what fetches the Node and the pnpm that everything else uses.
//
//   node tooling/bootstrap/bootstrap.mjs PROGRAM.ts [argument...]
//
// Everything it downloads goes into node_modules and `.toolchain/`, both ignored by git; nothing is written elsewhere.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const OLDEST_NODE = 20;
const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..");
const toolchain = join(root, ".toolchain");
const { packageManager } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const pnpmFolder = join(toolchain, packageManager.replace("@", "-"));

const [program, ...programArguments] = process.argv.slice(2);
if (program === undefined) fail("Usage: node tooling/bootstrap/bootstrap.mjs PROGRAM.ts [argument...]");
if (Number.parseInt(process.versions.node, 10) < OLDEST_NODE) {
  fail(`Node ${process.versions.node} is too old to set this repository up. Install Node ${OLDEST_NODE} or later.`);
}
if (spawnSync("git", ["--version"], { stdio: "ignore" }).error)
  fail("git is not on the PATH. Install git and try again.");

const environment = ownEnvironment();
installPnpm();
installDependencies();
runProgram();

/** The caller's environment, with our tools first on the PATH and every tool's caches inside the clone. */
function ownEnvironment() {
  const path = [
    join(root, "node_modules/node/bin"),
    join(root, "node_modules/.bin"),
    join(pnpmFolder, "node_modules/.bin"),
  ];
  return {
    ...process.env,
    PATH: [...path, process.env.PATH].join(":"),
    npm_config_cache: join(toolchain, "npm"),
    npm_config_update_notifier: "false",
    PNPM_CONFIG_STORE_DIR: join(toolchain, "pnpm-store"),
    XDG_CACHE_HOME: join(toolchain, "cache"),
    XDG_CONFIG_HOME: join(toolchain, "config"),
    XDG_DATA_HOME: join(toolchain, "data"),
    XDG_STATE_HOME: join(toolchain, "state"),
    NODE_COMPILE_CACHE: join(toolchain, "compile-cache"),
    TURBO_TELEMETRY_DISABLED: "1",
    DO_NOT_TRACK: "1",
  };
}

function installPnpm() {
  if (existsSync(join(pnpmFolder, "node_modules/.bin/pnpm"))) return;
  mkdirSync(pnpmFolder, { recursive: true });
  writeFileSync(join(pnpmFolder, "package.json"), '{ "private": true }\n');
  step(
    `Fetching ${packageManager}`,
    "npm",
    ["install", "--no-audit", "--no-fund", "--loglevel=error", packageManager],
    pnpmFolder,
  );
}

function installDependencies() {
  const stamp = join(toolchain, "installed");
  const wanted = digestOfManifests();
  if (existsSync(join(root, "node_modules")) && existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  step(
    "Installing dependencies (the first time half a minute)",
    "pnpm",
    ["install", "--frozen-lockfile", "--reporter=silent"],
    root,
  );
  writeFileSync(stamp, wanted);
}

/** Changes whenever an install would do something. */
function digestOfManifests() {
  const files = ["pnpm-lock.yaml", "pnpm-workspace.yaml", "package.json"];
  for (const folder of ["apps", "packages", "tooling", "examples"]) {
    for (const name of readdirSync(join(root, folder)).sort()) {
      files.push(`${folder}/${name}/package.json`);
      // An install compiles these.
      const assembly = `${folder}/${name}/assembly`;
      if (!existsSync(join(root, assembly))) continue;
      for (const source of readdirSync(join(root, assembly)).sort()) files.push(`${assembly}/${source}`);
    }
  }
  const hash = createHash("sha256");
  for (const file of files) {
    if (existsSync(join(root, file))) hash.update(`${file}\n`).update(readFileSync(join(root, file)));
  }
  return hash.digest("hex");
}

function runProgram() {
  const node = join(root, "node_modules/node/bin/node");
  const child = spawn(node, ["--conditions=@fleetfoot/source", join(root, program), ...programArguments], {
    cwd: root,
    stdio: "inherit",
    env: environment,
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"]) process.on(signal, () => child.kill(signal));
  child.on("error", (error) => fail(`Could not start ${node}: ${error.message}`));
  child.on("exit", (code, signal) => {
    process.exitCode = code ?? (signal === null ? 1 : 128);
  });
}

function step(what, command, args, cwd) {
  const startedAt = performance.now();
  process.stderr.write(`${what} ... `);
  // Package managers keep their locks in the folder for temporary files.
  const temporary = join(toolchain, "tmp");
  mkdirSync(temporary, { recursive: true });
  const env = { ...environment, TMPDIR: temporary };
  const { status, error, stdout, stderr } = spawnSync(command, args, { cwd, env, encoding: "utf8" });
  if (error || status !== 0) {
    fail(
      `failed.\n${error ? error.message : `${stdout}\n${stderr}`}\nCommand: ${command} ${args.join(" ")} (in ${cwd})`,
    );
  }
  process.stderr.write(`done in ${((performance.now() - startedAt) / 1000).toFixed(1)} s\n`);
}

function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
