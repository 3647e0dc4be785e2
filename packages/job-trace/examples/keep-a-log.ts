import { once } from "node:events";
import { tmpdir } from "node:os";

import { errorLine, openJobTrace } from "@fleetfoot/job-trace";

const trace = await openJobTrace({ directory: tmpdir(), maskedValues: ["s3cretvalue"] });

const output = trace.openStream({ source: "job", channel: "stdout" });
output.write("the password is s3cret");
output.write("value\n");
output.end("curl https://example.com/file?private_token=abc&page=1\n");
await once(output, "finish");

const runner = trace.openStream({ source: "runner", channel: "stdout" });
runner.write(errorLine("Job failed: exit status 1"));
await trace.close();

process.stdout.write(await trace.read(0, trace.size));
console.log(`${trace.size} bytes, ${trace.checksum}`);
await trace[Symbol.asyncDispose]();
