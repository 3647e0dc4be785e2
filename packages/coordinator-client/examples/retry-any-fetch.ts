import { createRetryingFetch } from "@fleetfoot/coordinator-client/retry";

// Anything shaped like `fetch` will do: this one is throttled once.
const answers = [new Response("slow down", { status: 429, headers: { "Retry-After": "1" } }), new Response("done")];
async function throttled(): Promise<Response> {
  return answers.shift() ?? new Response("nothing left", { status: 404 });
}

const retryingFetch = createRetryingFetch({ fetch: throttled });
const { response, attempts } = await retryingFetch({ url: "https://gitlab.example.com/api/v4/version" });
console.log(`${response.status} "${await response.text()}" at attempt ${attempts}`);
