import { expandReferences } from "@fleetfoot/cache-key";
import type { DockerExecutorOptions } from "@fleetfoot/executor-docker";

type ImageOptions = Required<Pick<DockerExecutorOptions, "imageReference" | "pullAdvice" | "registryAuth">>;

/** Entry of `environment` in a runner's section: where its jobs get images of Docker Hub from. */
const PREFIX_NAME = "FLEETFOOT_IMAGE_PREFIX";

/**
 * The prefix that a runner puts in front of images of Docker Hub. Only the runner's own configuration counts: a job could otherwise
 * bring any image under an allowed name.
 */
export function imagePrefixOf(environment: readonly string[]): string | undefined {
  const entry = environment.findLast((text) => text.startsWith(`${PREFIX_NAME}=`));
  return entry?.slice(PREFIX_NAME.length + 1) || undefined;
}

/**
 * Makes images of GitLab's Dependency Proxy and virtual registries work: their logins are found whether or not a port was written,
 * and with a prefix they take the place of Docker Hub.
 *
 * @param prefix - variables in it are the job's; such a prefix has to be the Dependency Proxy of the job's own instance
 * @see registry-mirror 5.4
 */
export async function gitlabImages(prefix: string | undefined): Promise<ImageOptions> {
  const [{ createRewriteRule, ImageReferenceError, registryAuth, rewriteImage }, { DockerConfigurationError }] =
    await Promise.all([import("@fleetfoot/registry-mirror/gitlab-images"), import("@fleetfoot/executor-docker")]);

  /** What is no image, the engine refuses in its own words. */
  function unlessInvalid<Result>(work: () => Result): Result | undefined {
    try {
      return work();
    } catch (error) {
      if (ImageReferenceError.isInstance(error)) return undefined;
      throw error;
    }
  }

  const matchLogin: ImageOptions["registryAuth"] = (image, logins) => unlessInvalid(() => registryAuth(image, logins));

  function ruleFor(place: string): ReturnType<typeof createRewriteRule> {
    try {
      return createRewriteRule({ prefix: place });
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw new DockerConfigurationError(`${PREFIX_NAME}: ${error.message}`, { cause: error });
    }
  }

  return {
    registryAuth: matchLogin,
    pullAdvice,
    imageReference: (image, { variables, payload }) => {
      if (prefix === undefined) return image;
      const place = expandReferences(prefix, (name) => variables.get(name)).replace(/\/+$/, "");
      // Projects outside of groups have no Dependency Proxy.
      if (place === "") return image;
      const rule = ruleFor(place);
      if (place !== prefix.replace(/\/+$/, "") && !isOwnProxy(place, payload.credentials)) {
        throw new DockerConfigurationError(
          `${PREFIX_NAME}: ${place} is no Dependency Proxy that the job has a login for; was its variable overwritten?`,
        );
      }
      return unlessInvalid(() => rewriteImage(image, rule).image) ?? image;
    },
  };

  /** A Dependency Proxy has Docker Hub's images whoever's it is; anything else may have others of their names. */
  function isOwnProxy(place: string, logins: Parameters<typeof registryAuth>[1]): boolean {
    return place.endsWith("/dependency_proxy/containers") && matchLogin(`${place}/image`, logins) !== undefined;
  }
}

const PROXIED = /\/dependency_proxy\/containers\/|\/virtual_registries\/container\//;

/** GitLab hides what somebody may not see, so its 404 has several causes. @see registry-mirror 5.1, 5.3 */
function pullAdvice(reference: string, message: string): string | undefined {
  if (!PROXIED.test(reference)) return undefined;
  if (/\b404\b|not found|manifest unknown/i.test(message)) {
    return `GitLab answers 404 for ${reference} when no upstream has the image, and also when the user of the job is no member of the group, when the Dependency Proxy is switched off, or when the virtual registry has no upstream`;
  }
  if (/\b403\b|denied|forbidden/i.test(message)) {
    return `GitLab answers 403 for ${reference} when it refuses the service itself to the user of the job`;
  }
  return undefined;
}
