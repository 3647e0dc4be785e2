import type { EncryptionSettings } from "./encryption.ts";

/** What temporary credentials may do with their one object. */
export type Direction = "download" | "upload";

export interface PolicySettings extends EncryptionSettings {
  readonly bucket: string;
  readonly name: string;
  readonly direction: Direction;
  readonly region: string;
}

/**
 * Writes the policy that narrows a role down to one object and one direction.
 *
 * @see https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies.html#policies_session
 */
export function scopedPolicy(settings: PolicySettings): string {
  const { bucket, name, direction, region, serverSideEncryption, serverSideEncryptionKeyId } = settings;
  // In a policy `*`, `?` and `$` mean more than themselves, and a name may have any of them.
  const literal = `${bucket}/${name}`.replaceAll(/[*?$]/g, (character) => `\${${character}}`);
  const resource = `arn:${partitionOf(region)}:s3:::${literal}`;
  const action = direction === "download" ? "s3:GetObject" : "s3:PutObject";
  const statements: object[] = [{ Effect: "Allow", Action: [action], Resource: [resource] }];
  const isKms = serverSideEncryption === "aws:kms" || serverSideEncryption === "aws:kms:dsse";
  if (isKms && serverSideEncryptionKeyId !== undefined) {
    const actions = ["kms:Decrypt", "kms:GenerateDataKey"];
    statements.push({ Effect: "Allow", Action: actions, Resource: [serverSideEncryptionKeyId] });
  }
  return JSON.stringify({ Version: "2012-10-17", Statement: statements });
}

function partitionOf(region: string): string {
  if (region.startsWith("us-gov-")) return "aws-us-gov";
  return region.startsWith("cn-") ? "aws-cn" : "aws";
}
