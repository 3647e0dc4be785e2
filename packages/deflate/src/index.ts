export { createDeflater, deflateBound } from "./deflater.ts";
export type { Deflater, DeflaterOptions } from "./deflater.ts";
export { DeflateError } from "./errors.ts";
export type { DeflateErrorCode } from "./errors.ts";
export { createInflater } from "./inflater.ts";
export type { Inflater, InflaterOptions } from "./inflater.ts";
