/** Requests to `{base}/enclave/…`. What goes wrong becomes an error whose message is a sentence for the reader. */

/** `content` makes it a POST. Resolves to the answer's JSON; rejects with `Error(sentence)`, `status` 0 when unreachable. */
export async function ask(ServerConnection, settings, route, content) {
  const url = `${settings.baseUrl.replace(/\/$/, "")}/enclave/${route}`;
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
  return answer;
}

function failure(sentence, status) {
  const error = new Error(sentence);
  error.status = status;
  return error;
}
