/** Longest wait for one answer to a health check, so that a hanging answer does not eat the whole start deadline. */
const answerTimeoutMs = 5000;

/** Whether a GET is answered by a status below 400; rejects when nobody listens. */
export async function answersWell(url: string): Promise<boolean> {
  const response = await fetch(url, { signal: AbortSignal.timeout(answerTimeoutMs) });
  await response.body?.cancel();
  return response.ok;
}

/** Whether a GET is answered at all, by whatever status; rejects when nobody listens. */
export async function answers(url: string): Promise<boolean> {
  const response = await fetch(url, { signal: AbortSignal.timeout(answerTimeoutMs) });
  await response.body?.cancel();
  return true;
}

/** Fails with the server's own words unless the status is one of `expected`. */
export async function expectStatus(response: Response, ...expected: readonly number[]): Promise<Response> {
  if (expected.includes(response.status)) return response;
  throw new Error(`${response.url}: ${response.status} ${await response.text()}`);
}
