// The read API, as the inbox asks it: docs/openapi.json says all that it answers.

/** The API did not answer (`status` 0), or refused: `code` is the problem's own, `retryAfter` in seconds or 0. */
export class ApiError extends Error {
  constructor(status, code = "", retryAfter = 0) {
    super(`${status} ${code}`.trim());
    Object.assign(this, { name: "ApiError", status, code, retryAfter });
  }
}

/** Give the questions that the inbox has; each answers with the API's JSON or throws an ApiError, or an AbortError. */
export function readApi({ apiUrl, phoneNumberId, getToken }) {
  async function ask(path, query, signal) {
    const address = new URL(apiUrl + path);
    for (const [name, value] of Object.entries(query)) if (value) address.searchParams.set(name, value);
    let answer = await answered(address, await token(false), signal);
    // The token may have run out on the way: a new one, once.
    if (answer.status === 401) answer = await answered(address, await token(true), signal);
    if (answer.ok) return answer.json();
    const { code } = await answer.json().catch(() => ({}));
    throw new ApiError(answer.status, code, Number(answer.headers.get("Retry-After")) || 0);
  }

  async function token(renew) {
    try {
      return await getToken(renew);
    } catch {
      throw new ApiError(401, "no_token");
    }
  }

  const number = { phone_number_id: phoneNumberId };
  return {
    conversations: (query, signal) => ask("/conversations", { ...number, ...query }, signal),
    messages: (contactId, query, signal) =>
      ask(`/conversations/${encodeURIComponent(contactId)}/messages`, { ...number, ...query }, signal),
  };
}

async function answered(address, token, signal) {
  const headers = { Accept: "application/json", Authorization: `Bearer ${token}` };
  try {
    return await fetch(address, { headers, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0);
  }
}
