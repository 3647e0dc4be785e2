export { downloadArtifacts, hasArtifactsToDownload } from "./download.ts";
export { hasArtifactsToUpload, uploadArtifacts } from "./upload.ts";
