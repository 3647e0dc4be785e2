export { downloadArtifacts, hasArtifactsToDownload } from "./download.ts";
export { ArtifactError } from "./errors.ts";
export type { ArtifactErrorCode } from "./errors.ts";
export { hasArtifactsToUpload, uploadArtifacts } from "./upload.ts";
