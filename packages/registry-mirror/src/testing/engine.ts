import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { importImage } from "@fleetfoot-tooling/systems";
import type { DockerEngine } from "@fleetfoot-tooling/systems";
import type { ServedMirror } from "./serve.ts";

/**
 * Makes an image, pushes it to the registry in its name, and removes it from the engine.
 *
 * @param files - absolute paths in the image to files of this machine
 */
export async function pushFromEngine(
  engine: DockerEngine,
  reference: string,
  files: Readonly<Record<string, string>> = {},
): Promise<void> {
  const image = await importImage(engine, { reference, files });
  const [, repository = "", tag = ""] = /^(.*):([^:/]+)$/.exec(reference) ?? [];
  const push = await engine.request({
    method: "POST",
    path: `/images/${repository}/push?tag=${tag}`,
    headers: { "x-registry-auth": Buffer.from("{}").toString("base64") },
  });
  if (!push.text.includes("digest: sha256:")) throw new Error(`the engine did not push ${reference}: ${push.text}`);
  await removeImage(engine, image);
}

/** Removes an image with its layers, by whatever names it is known. */
export async function removeImage(engine: DockerEngine, reference: string): Promise<void> {
  const inspected = await engine.request({ method: "GET", path: `/images/${reference}/json` });
  if (inspected.status === 404) return;
  const { Id } = JSON.parse(inspected.text) as { readonly Id: string };
  await engine.request({ method: "DELETE", path: `/images/${Id}?force=1` });
}

/** Points an engine at the mirror, and lets it read its file again. */
export async function useMirror(engine: DockerEngine, mirror: ServedMirror): Promise<void> {
  const url = `http://${engine.hostAddress}:${new URL(mirror.url).port}`;
  await writeFile(join(engine.folder, "daemon.json"), JSON.stringify({ "registry-mirrors": [url] }));
  process.kill(await engine.daemonProcessId(), "SIGHUP");
  for (;;) {
    const info = await engine.request({ method: "GET", path: "/info" });
    if (info.text.includes(url)) return;
    await sleep(20);
  }
}

/** Pulls as `docker pull app:one` does; what the engine said. */
export async function pull(engine: DockerEngine): Promise<string> {
  const answer = await engine.request({ method: "POST", path: "/images/create?fromImage=app&tag=one" });
  return answer.text;
}
