// Calls of the server, with the key if it asks for one; every fault is an Error with a sentence.

const KEY = "labse-key";

function askForKey() {
  const dialog = document.getElementById("key-dialog");
  const input = document.getElementById("key-input");
  input.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const key = dialog.returnValue === "ok" ? input.value.trim() : "";
      if (key) sessionStorage.setItem(KEY, key);
      resolve(key !== "");
    }, { once: true });
  });
}

let asking = null; // One dialog for all calls that wait for the key.

async function send(path, body, signal) {
  const headers = {};
  const key = sessionStorage.getItem(KEY);
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is labse serve still running?");
  }
  if (answer.status === 401) {
    asking = asking || askForKey().finally(() => { asking = null; });
    if (await asking) return send(path, body, signal);
  }
  if (!answer.ok) throw new Error(await readFault(answer));
  return answer;
}

async function readFault(answer) {
  try {
    const { error } = await answer.json();
    const sentence = typeof error === "string" ? error : error.message;
    const wait = answer.headers.get("Retry-After");
    return wait ? `${sentence}. Try again in ${wait} s.` : sentence;
  } catch {
    return `The server answered ${answer.status}, without a reason.`;
  }
}

export async function call(path, body, signal) {
  return (await send(path, body, signal)).json();
}

export async function download(path, body) {
  return (await send(path, body)).blob();
}

// Reads lines of JSON: some tell the progress, the last one has the result or an error.
export async function callWithProgress(path, body, signal, onProgress) {
  const answer = await send(path, body, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    rest += value || "";
    const lines = rest.split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const message = JSON.parse(line);
      if (message.error) throw new Error(message.error);
      if (message.result) return message.result;
      onProgress(message.done, message.total);
    }
    if (done) throw new Error("The answer broke off. Try again.");
  }
}
