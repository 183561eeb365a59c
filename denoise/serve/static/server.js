// What the server can be asked for. The token is in the fragment of the page's address.

const TOKEN = location.hash.slice(1);

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { ...options, headers: { "X-Denoise-Token": TOKEN } });
  } catch {
    throw new Error("the server does not answer; was it ended?");
  }
  if (!response.ok) {
    const { error } = await response.json().catch(() => ({}));
    throw new Error(error ?? `the server answered with ${response.status}`);
  }
  return response;
}

function post(path, value = {}) {
  return ask(path, { method: "POST", body: JSON.stringify(value) });
}

// Names of the images of the command line, with the size that a file may have; one as a file.
export async function offers() {
  return (await ask("/offers")).json();
}

export async function offer(number, name) {
  return new File([await (await ask(`/offers/${number}`)).blob()], name);
}

// What to type to get the same file.
export async function command(name, choices) {
  return (await (await post("/command", { name, choices })).json()).command;
}

// An image that the server has open for this page.
export class Session {
  static async open(file) {
    const name = encodeURIComponent(file.name);
    const response = await ask(`/sessions?name=${name}`, { method: "POST", body: file });
    return Object.assign(new Session(), await response.json());
  }

  get #path() { return `/sessions/${this.id}`; }

  // Calls and awaits hear(event) for each event until the session is closed.
  async listen(hear) {
    const stream = (await ask(`${this.#path}/events`)).body.pipeThrough(new TextDecoderStream());
    let text = "";
    for await (const part of parts(stream)) {
      const lines = (text + part).split("\n");
      text = lines.pop();
      for (const line of lines) await hear(JSON.parse(line));
    }
  }

  read(choices) { return post(`${this.#path}/open`, { choices }); }

  denoise(choices, part) { return post(`${this.#path}/denoise`, { choices, part }); }

  stop() { return post(`${this.#path}/stop`); }

  async view(name) { return (await ask(`${this.#path}/views/${name}`)).blob(); }

  async result(strength) {
    return (await ask(`${this.#path}/result?strength=${strength}`)).blob();
  }

  // Also while the page is being left.
  close() { return ask(this.#path, { method: "DELETE", keepalive: true }); }
}

async function* parts(stream) {
  const reader = stream.getReader();
  while (true) {
    const { done, value } = await reader.read();
    if (done) return;
    yield value;
  }
}
