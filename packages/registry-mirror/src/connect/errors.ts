import { RegistryMirrorError } from "../errors.ts";

/** The certificate authority cannot be used. Nothing is mended silently: a new one would break every client. */
export class CertificateAuthorityError extends RegistryMirrorError {
  override readonly name = "CertificateAuthorityError";
  override readonly code = "unusable-authority";
  override readonly retryable = false;
  /** File or directory that is the reason. */
  readonly file: string;

  constructor(file: string, reason: string, options?: ErrorOptions) {
    super(`${file}: ${reason}`, options);
    this.file = file;
  }
}
