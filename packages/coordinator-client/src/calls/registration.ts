import { integer, object, ShapeError, text } from "../decoding/shape.ts";
import type { Answer, CallContext, CallRequest } from "./exchange.ts";
import { undecodable } from "./wording.ts";

/** What the coordinator says about a runner that it knows. */
export interface Registration {
  readonly id: number;
  readonly token: string;
  readonly tokenExpiresAt?: string;
}

/**
 * Reads `{id, token, token_expires_at}`. An answer of another shape becomes one without a usable content.
 *
 * @param required - members that must not be empty
 */
export function decodeRegistration(
  context: CallContext,
  request: CallRequest,
  answer: Answer,
  required: readonly ("id" | "token")[],
): { answer: Answer; registration?: Registration } {
  if (answer.facts.status !== request.jsonStatus) {
    return { answer };
  }
  try {
    const { id, token, token_expires_at: expiry } = decode(answer.json, "");
    const missing = required.find((key) => !{ id, token }[key]);
    if (missing !== undefined) {
      throw new ShapeError(`${missing} is missing`);
    }
    return { answer, registration: { id, token, ...(expiry === "" ? {} : { tokenExpiresAt: expiry }) } };
  } catch (error) {
    if (!(error instanceof ShapeError)) {
      throw error;
    }
    return { answer: { ...answer, ...undecodable(context, request, answer.facts, answer.statusLine, error.message) } };
  }
}

const decode = object({ id: integer, token: text, token_expires_at: text });
