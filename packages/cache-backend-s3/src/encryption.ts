/** How S3 encrypts what it stores. @see https://docs.aws.amazon.com/AmazonS3/latest/userguide/serv-side-encryption.html */
export type ServerSideEncryption = "AES256" | "aws:kms" | "aws:kms:dsse";

export interface EncryptionSettings {
  readonly serverSideEncryption: ServerSideEncryption | undefined;
  /** For the two kinds with a key of the key service: id, ARN or `alias/…`. */
  readonly serverSideEncryptionKeyId: string | undefined;
}

/** The parameters that a request which creates an object needs. */
export function encryptionParameters({ serverSideEncryption, serverSideEncryptionKeyId }: EncryptionSettings): {
  ServerSideEncryption?: ServerSideEncryption;
  SSEKMSKeyId?: string;
} {
  if (serverSideEncryption === undefined) return {};
  const withKey = serverSideEncryption !== "AES256" && serverSideEncryptionKeyId !== undefined;
  return {
    ServerSideEncryption: serverSideEncryption,
    ...(withKey ? { SSEKMSKeyId: serverSideEncryptionKeyId } : {}),
  };
}
