// Installs every system that the tests may need, so that no test waits for a build:
//   node --conditions=@fleetfoot/source tooling/systems/src/main.ts
import { requireGoProgram } from "./go-program.ts";
import { fakeGcsServerProgram } from "./fake-gcs-server.ts";
import { minioProgram } from "./minio.ts";
import { requirePrograms } from "./programs.ts";

const why = "the tests";
const plainPrograms = ["cntlm", "curl", "git", "openssl", "rsync", "squid", "tinyproxy", "unzip", "zip"] as const;
const enginePrograms = ["busybox", "containerd", "docker-registry", "dockerd", "ip", "iptables", "runc"] as const;

await requirePrograms([...plainPrograms, ...enginePrograms], why);
for (const program of [fakeGcsServerProgram, minioProgram]) await requireGoProgram(program, why);
