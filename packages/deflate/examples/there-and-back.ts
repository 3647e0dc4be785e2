import { createDeflater, createInflater, deflateBound, DeflateError } from "@fleetfoot/deflate";

const deflater = createDeflater({ inputBytes: 64 * 1024, outputBytes: deflateBound(64 * 1024) });
const inflater = createInflater({ inputBytes: 64 * 1024, outputBytes: 64 * 1024 });

// Usually `readSync` fills the input, straight from a file.
const length = deflater.input.write("All work and no play makes Jack a dull boy. ".repeat(1000));
const packed = deflater.deflate(0, length, 0);

deflater.output.copy(inflater.input, 0, 0, packed);
const bytes = inflater.inflate(0, packed, 0, inflater.output.length);
console.log(`${packed} bytes became ${bytes}: ${inflater.output.toString("latin1", 0, 44)}`);

try {
  inflater.inflate(0, packed - 1, 0, inflater.output.length);
} catch (error) {
  if (DeflateError.isInstance(error)) console.log(error.code);
}
