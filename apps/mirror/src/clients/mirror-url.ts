import { networkInterfaces } from "node:os";
import type { Settings } from "../settings/read-settings.ts";
import { chooseAdvertised } from "./advertise.ts";
import type { AdvertisedAddress } from "./advertise.ts";
import { isContainer, routeInterface } from "./machine.ts";

/** The URL by which clients reach the mirror, and why it is that one. */
export interface MirrorUrl extends AdvertisedAddress {
  readonly url: string;
}

/**
 * Finds the URL by which clients reach the mirror.
 *
 * @param options - `hasTls`: whether the mirror speaks TLS. @default whether the settings name a certificate
 */
export async function mirrorUrl(
  { advertise, listeners, tls }: Pick<Settings, "advertise" | "listeners" | "tls">,
  { hasTls = tls !== undefined }: { readonly hasTls?: boolean } = {},
): Promise<MirrorUrl> {
  const choice = chooseAdvertised({
    advertise,
    // The others are for one registry each.
    listeners: listeners.filter(({ entry }) => entry === undefined),
    interfaces: networkInterfaces(),
    routeInterface: await routeInterface(),
    isContainer: await isContainer(),
  });
  return { ...choice, url: `${advertise?.scheme ?? (hasTls ? "https" : "http")}://${choice.address}` };
}
