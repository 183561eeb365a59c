// The page: one image at a time is opened, denoised, looked at and saved.

import * as server from "./server.js";
import { Viewer } from "./viewer.js";

const get = (id) => document.getElementById(id);
const controls = get("controls").elements;
const viewer = new Viewer(get("viewer"));
// Fields whose text is sent as it is, and flags.
const TEXTS = ["preset", "noise", "sigma", "time_budget", "frame", "seed"];
const FLAGS = ["fill_missing", "keep_outliers"];

let image = null; // the image that is open, see OpenImage
let mostBytes = Infinity; // of a file

// What messages of the command call an option is a field of the page.
const FIELDS = {
  "--sigma": "Sigma", "--noise": "Noise", "--frame": "Frame",
  "--fill-missing": "Fill missing pixels", "--keep-outliers": "Keep outliers",
};

function forThePage(message) {
  return message.replace(/--[a-z-]+/g, (name) => (name in FIELDS ? `“${FIELDS[name]}”` : name));
}

function say(text, isError = false) {
  get("status").textContent = text;
  get("status").classList.toggle("error", isError);
}

function sayError(error) { say(forThePage(error.message), true); }

function strength() { return controls.strength.value / 100; }

// What differs from the defaults.
function choices() {
  const found = {};
  for (const name of TEXTS) {
    const field = controls[name];
    const value = field.value.trim();
    const isDefault = field.selectedOptions?.[0].defaultSelected ?? value === "";
    if (!isDefault) found[name] = value;
  }
  for (const name of FLAGS) if (controls[name].checked) found[name] = true;
  return found;
}

// An image, its session on the server, and what has been seen of it.
class OpenImage {
  #session;
  #urls = {}; // of views
  #size = { width: 0, height: 0 };
  #views = []; // names of those that there are of the result
  #clock = null;
  #share = ""; // of the present stage that is done
  #working = false;
  #runs = 0;
  #chosen = {};
  #isNew = true; // it is denoised as soon as its noise is known

  constructor(file) { this.name = file.name; }

  async open(file) {
    this.#working = true;
    this.#show();
    this.#enable();
    if (file.size > mostBytes) throw new Error(`the file has more than ${mostBytes} bytes`);
    say("sending the image");
    this.#session = await server.Session.open(file);
    if (this !== image) return this.close(); // another one has been opened meanwhile
    this.#listen().catch((error) => this.#fail(error));
    say("reading the image");
    await this.#begin((chosen) => this.#session.read(chosen));
  }

  async denoise() {
    if (!this.#session) return; // it is being sent; the choices are read after that
    this.#isNew = false;
    if (this.#working) {
      await this.stop();
      if (this.#working) return; // a later choice has begun already
    }
    const { left, top, width, height } = viewer.visible();
    const part = width && height ? [left, top, width, height] : null;
    await this.#begin((chosen) => this.#session.denoise(chosen, part));
  }

  // Denoise anew if something else is chosen; a field may say so when it is left, long afterwards.
  async choose() {
    if (JSON.stringify(choices()) !== JSON.stringify(this.#chosen)) await this.denoise();
  }

  async stop() {
    if (!this.#session) return;
    this.#isNew = false;
    await this.#session.stop();
    this.#rest();
    say("stopped");
  }

  async save() {
    say("writing the result");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await this.#session.result(strength()));
    link.download = this.name.replace(/\.[^.]*$/, "") + `_denoised${this.#session.suffix}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    say(`saved as ${link.download}`);
  }

  command() {
    const all = choices();
    if (strength() !== 1) all.strength = strength();
    return server.command(this.name, all);
  }

  close() {
    clearInterval(this.#clock);
    for (const url of Object.values(this.#urls)) URL.revokeObjectURL(url);
    return this.#session?.close();
  }

  async #listen() {
    await this.#session.listen((event) => this.#hear(event));
    throw new Error("the server has closed the image; open it again");
  }

  async #begin(ask) {
    this.#working = true;
    this.#runs++;
    this.#chosen = choices();
    for (const name of this.#views) this.#forget(name);
    this.#views = [];
    this.#show();
    this.#enable();
    try {
      await ask(this.#chosen);
    } catch (error) {
      this.#fail(error);
    }
  }

  async #hear(event) {
    if (this !== image) return;
    const act = {
      read: () => this.#showInput(event),
      noise: () => this.#showNoise(event),
      waiting: () => say("waiting for another image"),
      started: () => this.#start(),
      preview: () => this.#showPreview(event),
      progress: () => this.#showProgress(event),
      done: () => this.#showResult(event),
      failed: () => this.#fail(new Error(event.error)),
    }[event.event];
    try {
      await act?.();
    } catch (error) {
      this.#fail(error);
    }
  }

  async #showInput({ width, height, description }) {
    this.#size = { width, height };
    get("facts").textContent = description;
    await this.#load("before");
    get("welcome").hidden = true;
    this.#show();
    say("measuring the noise");
  }

  async #showNoise({ noise, notes }) {
    get("noise-found").textContent = noise ? `noise: ${noise}` : "no noise";
    showNotes(notes);
    if (!this.#isNew) return;
    this.#isNew = false;
    this.#working = false;
    await this.denoise();
  }

  #start() {
    const started = performance.now();
    clearInterval(this.#clock);
    this.#share = "";
    say("denoising what is seen now");
    this.#clock = setInterval(() => {
      const seconds = `${Math.round((performance.now() - started) / 1000)} s`;
      get("clock").textContent = this.#share ? `${this.#share} · ${seconds}` : seconds;
    }, 250);
    get("progress").hidden = false;
    get("progress").value = 0; // without a value it moves, which takes time from the work
  }

  async #showPreview(box) {
    await this.#load("preview");
    viewer.preview(this.#urls.preview, box);
  }

  #showProgress({ stage, patches, done, total }) {
    const isLearning = stage === "learning";
    this.#share = isLearning ? `epoch ${done} of ${total}` : `${Math.floor((100 * done) / total)} %`;
    const text = patches ? `${stage} ${patches}` : stage;
    if (this.#working && get("status").textContent !== text) say(text); // it is read aloud
    Object.assign(get("progress"), { max: total, value: done });
  }

  async #showResult({ seconds, device, noise, notes, views }) {
    if (!this.#working) return; // it was stopped at the last moment
    this.#rest();
    const where = device ? ` on ${device}` : "";
    say(`done in ${seconds.toFixed(1)} s${where}`);
    get("noise-found").textContent = `noise: ${noise}`;
    showNotes(notes);
    const run = this.#runs;
    for (const name of views) {
      try {
        await this.#load(name);
      } catch (error) {
        if (run === this.#runs) throw error;
      }
      if (run !== this.#runs) return this.#forget(name); // another one has been begun meanwhile
      this.#views.push(name);
      this.#show();
      this.#enable();
    }
  }

  #rest() {
    clearInterval(this.#clock);
    get("clock").textContent = "";
    this.#working = false;
    get("progress").hidden = true;
    this.#enable();
  }

  #fail(error) {
    if (this !== image) return;
    this.#rest();
    this.#isNew = false;
    sayError(error);
    if (/--frame|--fill-missing/.test(error.message)) get("more").open = true;
  }

  async #load(name) {
    const url = URL.createObjectURL(await this.#session.view(name));
    this.#forget(name);
    this.#urls[name] = url;
  }

  #forget(name) {
    URL.revokeObjectURL(this.#urls[name]);
    delete this.#urls[name];
  }

  #show() {
    const { preview, ...views } = this.#urls;
    viewer.show({ views, ...this.#size });
    viewer.strength = strength();
  }

  #enable() {
    get("views").disabled = !this.#urls.before;
    for (const radio of controls.view) radio.disabled = !viewer.modes.includes(radio.value);
    const focused = document.activeElement;
    get("run").disabled = this.#working || !this.#session;
    get("stop").disabled = !this.#working || !this.#session;
    get("save").disabled = this.#working || !this.#views.includes("after");
    get("copy").disabled = false;
    if (focused?.disabled) get(this.#working ? "stop" : "run").focus(); // keys go on from there
  }
}

function showNotes(notes) {
  get("notes").replaceChildren(...notes.map((text) => {
    return Object.assign(document.createElement("li"), { textContent: forThePage(text) });
  }));
}

function open(file) {
  image?.close()?.catch(() => {});
  image = new OpenImage(file);
  get("name").textContent = file.name;
  document.title = `${file.name} – denoise`;
  for (const id of ["facts", "noise-found"]) get(id).textContent = "";
  showNotes([]);
  image.open(file).catch(sayError);
}

async function offer() {
  const { names, most_bytes } = await server.offers();
  mostBytes = most_bytes;
  const list = get("offers");
  list.append(...names.map((name, number) => new Option(name, number)));
  list.hidden = names.length < 2;
  const openChosen = async () => {
    open(await server.offer(list.value, names[list.value]));
  };
  list.addEventListener("change", () => openChosen().catch(sayError));
  if (names.length) await openChosen();
}

function act(id, action) {
  get(id).addEventListener("click", () => action().catch(sayError));
}

act("run", () => image.denoise());
act("stop", () => image.stop());
act("save", () => image.save());
act("copy", async () => {
  const text = await image.command();
  await navigator.clipboard?.writeText(text).catch(() => {});
  say(text);
});
get("choose").addEventListener("click", () => get("file").click());
get("file").addEventListener("change", ({ target }) => {
  if (target.files.length) open(target.files[0]);
  target.value = "";
});

get("controls").addEventListener("submit", (event) => event.preventDefault());
get("controls").addEventListener("change", ({ target }) => {
  const starts = TEXTS.includes(target.name) || FLAGS.includes(target.name);
  if (starts && image) image.choose().catch(sayError);
});
controls.strength.addEventListener("input", () => {
  controls.share.value = `${controls.strength.value} %`;
  viewer.strength = strength();
});
for (const radio of controls.view) {
  radio.addEventListener("change", () => { viewer.mode = radio.value; });
  radio.addEventListener("click", (event) => {
    if (event.detail) viewer.focus(); // by a pointer: keys are for the picture now
  });
}
viewer.onchange = (mode) => {
  for (const radio of controls.view) radio.checked = radio.value === mode;
};

for (const kind of ["dragenter", "dragover"]) {
  addEventListener(kind, (event) => {
    event.preventDefault();
    document.body.classList.add("dragging");
  });
}
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dragging");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  const [file] = event.dataTransfer.files;
  if (file) open(file);
  else say("drop an image file, not a link", true);
});
addEventListener("paste", ({ clipboardData }) => {
  if (clipboardData.files.length) open(clipboardData.files[0]);
});
addEventListener("pagehide", () => image?.close());

offer().catch(sayError);
