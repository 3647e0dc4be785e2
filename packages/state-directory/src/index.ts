export { StateDirectoryError } from "./errors.ts";
export { makeDirectory } from "./make-directory.ts";
