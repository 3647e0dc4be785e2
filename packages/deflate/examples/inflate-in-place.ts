import { deflateRawSync } from "node:zlib";
import { createInflater, DeflateError } from "@fleetfoot/deflate";

const inflater = createInflater({ inputBytes: 64 * 1024, outputBytes: 256 * 1024 });

// Usually `readSync` fills the input, straight from an archive.
const packed = deflateRawSync("All work and no play makes Jack a dull boy. ".repeat(1000));
packed.copy(inflater.input);
const bytes = inflater.inflate(0, packed.length, 0, inflater.output.length);
console.log(`${packed.length} bytes became ${bytes}: ${inflater.output.toString("latin1", 0, 44)}`);

try {
  inflater.inflate(0, packed.length - 1, 0, inflater.output.length);
} catch (error) {
  if (DeflateError.isInstance(error)) console.log(error.code);
}
