/** Requests to `{base}/enclave/…`. What goes wrong becomes an error whose message is a sentence for the reader. */

const answers = new Map();

/**
 * `content` makes it a POST. An answer that has not changed since the last time is not sent again: the same object returns.
 * Resolves to the answer's JSON; rejects with `Error(sentence)`, `status` 0 when unreachable.
 */
export async function ask(ServerConnection, settings, route, content) {
  const earlier = content === undefined ? answers.get(route) : undefined;
  const known = earlier && earlier.digest ? `${route.includes("?") ? "&" : "?"}known=${earlier.digest}` : "";
  const url = `${settings.baseUrl.replace(/\/$/, "")}/enclave/${route}${known}`;
  const init = content === undefined ? { method: "GET" } : { method: "POST", body: JSON.stringify(content) };
  let response;
  try {
    response = await ServerConnection.makeRequest(url, init, settings);
  } catch (error) {
    throw failure("", 0);
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok) {
    throw failure((answer && answer.message) || "", response.status);
  }
  if (earlier && answer && answer.unchanged === true) {
    return earlier.answer;
  }
  if (content === undefined) {
    const [digest] = (response.headers.get("ETag") || "").match(/[0-9a-f]{32}/) || [""];
    answers.set(route, { answer, digest });
  }
  return answer;
}

function failure(sentence, status) {
  const error = new Error(sentence);
  error.status = status;
  return error;
}
