// The service that the page came from, and the key to it.

export const ROOT = new URL("..", import.meta.url);
const KEY = "polyvox-key";

export class ServiceError extends Error {
  constructor(message, code = "", retryAfter = null) {
    super(message);
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

export const key = () => sessionStorage.getItem(KEY) ?? "";

// Until the tab is closed; an empty one forgets it.
export function keepKey(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
}

export async function get(path) {
  const headers = key() ? { authorization: `Bearer ${key()}` } : {};
  const answer = await fetch(new URL(path, ROOT), { headers, cache: "no-cache" });
  if (answer.ok) return answer;
  const { error } = await answer.json().catch(() => ({}));
  throw new ServiceError(error?.message ?? `the service answers ${answer.status}`, error?.code);
}
