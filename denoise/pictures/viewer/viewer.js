// A viewer of one image before and after: two pictures under a divider, and further views of it.
// With the pointer: the wheel and two fingers zoom, dragging moves, a double click is 100 % and
// back. 100 % shows each pixel of the image on one pixel of the screen.
// Keys, where the viewer has the focus or the pointer is over it: 1 to 7 choose a view; a tap of
// Space goes to "after", then to and fro between before and after, and holding it shows the other
// one for as long as it is held; + and - zoom by powers of two, 0 fits, arrows move.

const KEYS = {
  1: "before", 2: "split", 3: "after", 4: "residual", 5: "uncertainty", 6: "model", 7: "reference",
};
// What people call the modes.
export const LABELS = {
  before: "before", split: "split", after: "after", residual: "removed",
  uncertainty: "uncertainty", model: "learned patches", reference: "reference",
};
const VIEWS = Object.keys(LABELS).filter((name) => name !== "split");
const PAIR = ["before", "split", "after"];
// Screen pixels per image pixel, at most.
const MOST_ZOOM = 64;
// Above this zoom, pixels are squares.
const PIXELATED_FROM = 2;
// What a click may miss the divider by, in CSS pixels, and half of its handle's width.
const NEAR = 24;
const HALF_HANDLE = 18;
// Space is held, not tapped, after so many milliseconds.
const HELD = 350;
// Shares of the view that an arrow key moves by, and zoom per CSS pixel of the wheel.
const STEP = 0.1;
const PER_PIXEL = 0.002;
const PER_PINCHED_PIXEL = 0.01;
const LINE_HEIGHT = 16;

function make(tag, className, properties = {}) {
  const element = Object.assign(document.createElement(tag), properties);
  element.className = `viewer-${className}`;
  return element;
}

function clamp(value, least, most) {
  return Math.max(least, Math.min(most, value));
}

export class Viewer {
  onchange = (mode) => {};

  #element;
  #stage = make("div", "stage", { tabIndex: 0, role: "group", ariaLabel: "Picture" });
  #layers = make("div", "layers");
  #result = make("div", "result"); // "after" and its preview
  #images = {};
  #preview = make("img", "preview", { alt: "", draggable: false, decoding: "sync", hidden: true });
  #divider = make("input", "divider", {
    type: "range", min: 0, max: 100, value: 50, ariaLabel: "Divider between before and after",
  });
  #line = make("div", "line", { ariaHidden: "true" });
  #readout = make("div", "readout");
  #modeText = make("span", "mode", { ariaLive: "polite" });
  #zoomText = make("span", "zoom");

  #mode = "split";
  #strength = 1;
  #share = 0.5; // of the stage's width, where the divider is
  #width = 0;
  #height = 0;
  #scale = 1; // CSS pixels per image pixel
  #x = 0; // of the image's corner in the stage
  #y = 0;
  #fitted = true;
  #room = { width: 0, height: 0 }; // of the stage
  #pointers = new Map();
  #drags = "image"; // or "divider"
  #held = null; // the mode before Space was pressed, and when

  constructor(element) {
    this.#element = element;
    element.classList.add("viewer");
    for (const name of VIEWS) {
      const image = make("img", name, { alt: LABELS[name], draggable: false, decoding: "sync" });
      image.hidden = true;
      this.#images[name] = image;
      (name === "after" ? this.#result : this.#layers).append(image);
    }
    this.#result.append(this.#preview);
    this.#images.before.after(this.#result);
    for (const name of ["before", "after"]) {
      this.#line.append(make("span", `side-${name}`, { textContent: LABELS[name] }));
    }
    this.#readout.append(this.#modeText, this.#zoomText);
    this.#stage.append(this.#layers, this.#divider, this.#line, this.#readout);
    element.replaceChildren(this.#stage);
    this.#listen();
    this.#update();
  }

  // views: URLs of "before", "after" and further views by name; width, height: of the image
  show({ views, width, height }) {
    const sameSize = width === this.#width && height === this.#height;
    this.#width = width;
    this.#height = height;
    Object.assign(this.#layers.style, { width: `${width}px`, height: `${height}px` });
    for (const [name, image] of Object.entries(this.#images)) {
      const url = views[name];
      image.hidden = !url;
      if (!url || !sameSize) image.removeAttribute("src");
      if (url && image.getAttribute("src") !== url) image.src = url;
    }
    if (views.after && sameSize) {
      const shown = this.#preview.src;
      const remove = () => { if (this.#preview.src === shown) this.#preview.hidden = true; };
      this.#images.after.decode().then(remove, remove); // until then it stays in its place
    } else {
      this.#preview.hidden = true;
    }
    if (!this.modes.includes(this.#mode)) this.mode = "split";
    this.#update();
    if (!sameSize) this.fit();
  }

  // The modes that there is something to show for.
  get modes() {
    return Object.values(KEYS).filter(
      (name) => PAIR.includes(name) || !this.#images[name].hidden,
    );
  }

  get mode() { return this.#mode; }

  set mode(name) {
    if (name === this.#mode || !this.modes.includes(name)) return;
    this.#mode = name;
    this.#update();
    this.onchange(name);
  }

  get strength() { return this.#strength; }

  set strength(share) {
    this.#strength = clamp(share, 0, 1);
    this.#update();
  }

  // Keys are then the viewer's, such as after a click on a button of the page.
  focus() { this.#stage.focus({ preventScroll: true }); }

  // Lay a part of the result over "after"; the box is in pixels of the image.
  preview(url, { left, top, width, height }) {
    this.#preview.src = url;
    this.#preview.hidden = false;
    const box = { left, top, width, height };
    for (const [side, value] of Object.entries(box)) this.#preview.style[side] = `${value}px`;
  }

  // The part of the image that is seen, in its pixels.
  visible() {
    const inside = (start, room, size) => {
      const first = clamp(Math.floor(-start / this.#scale), 0, size);
      return [first, clamp(Math.ceil((room - start) / this.#scale), first, size) - first];
    };
    const [left, width] = inside(this.#x, this.#room.width, this.#width);
    const [top, height] = inside(this.#y, this.#room.height, this.#height);
    return { left, top, width, height };
  }

  // Show the whole image; a small one by a whole factor, so that its pixels stay alike.
  fit() { this.#moveTo(this.#fitScale(), 0, 0); }

  // x, y: the point that stays, in CSS pixels from the viewer's corner; its middle by default
  zoom(factor, x = this.#room.width / 2, y = this.#room.height / 2) {
    const least = Math.min(this.#fitScale(), 1 / devicePixelRatio);
    const scale = clamp(this.#scale * factor, least, MOST_ZOOM / devicePixelRatio);
    const actual = scale / this.#scale;
    this.#moveTo(scale, x - (x - this.#x) * actual, y - (y - this.#y) * actual);
  }

  actualSize(x, y) { this.zoom(1 / this.#zoomed, x, y); }

  get #zoomed() { return this.#scale * devicePixelRatio; }

  #fitScale() {
    if (!this.#width || !this.#room.width || !this.#room.height) return 1;
    const fitting = Math.min(this.#room.width / this.#width, this.#room.height / this.#height);
    const zoomed = fitting * devicePixelRatio;
    return (zoomed > 1 ? Math.floor(zoomed) : zoomed) / devicePixelRatio;
  }

  // The image stays inside the stage, in its middle if it is smaller, and on whole pixels.
  #moveTo(scale, x, y) {
    const inside = (start, size, room) => {
      const place = size <= room ? (room - size) / 2 : clamp(start, room - size, 0);
      return Math.round(place * devicePixelRatio) / devicePixelRatio;
    };
    this.#scale = scale;
    this.#x = inside(x, this.#width * scale, this.#room.width);
    this.#y = inside(y, this.#height * scale, this.#room.height);
    this.#fitted = Math.abs(scale / this.#fitScale() - 1) < 1e-6;
    this.#update();
  }

  #update() {
    const mode = this.#mode;
    const split = mode === "split";
    this.#layers.style.transform = `translate(${this.#x}px, ${this.#y}px) scale(${this.#scale})`;
    this.#layers.classList.toggle("viewer-pixelated", this.#zoomed > PIXELATED_FROM);
    this.#stage.classList.toggle("viewer-fitted", this.#fitted);
    for (const [name, image] of Object.entries(this.#images)) {
      const seen = name === mode || (PAIR.includes(mode) && PAIR.includes(name));
      image.style.visibility = seen ? "visible" : "hidden";
    }
    const edge = this.#share * this.#room.width;
    const clipped = clamp((edge - this.#x) / this.#scale, 0, this.#width);
    this.#result.hidden = !split && mode !== "after";
    this.#result.style.opacity = this.#strength;
    this.#result.style.clipPath = split ? `inset(0 0 0 ${clipped}px)` : "none";
    this.#divider.hidden = this.#line.hidden = !split;
    this.#line.style.left = `${clamp(edge, 1, this.#room.width - 1)}px`;
    const most = Math.max(this.#room.width - HALF_HANDLE, HALF_HANDLE);
    this.#line.style.setProperty("--shift", `${clamp(edge, HALF_HANDLE, most) - edge}px`);
    const label = LABELS[mode];
    if (this.#modeText.textContent !== label) this.#modeText.textContent = label;
    this.#zoomText.textContent = `${Math.round(this.#zoomed * 100)} %`;
  }

  #placeDivider(share) {
    this.#share = clamp(share, 0, 1);
    this.#divider.value = Math.round(this.#share * 100);
    this.#divider.ariaValueText = `${this.#divider.value} % of the width shows before`;
    this.#update();
  }

  #listen() {
    const stage = this.#stage;
    new ResizeObserver(() => this.#resize()).observe(stage);
    this.#divider.addEventListener("input", () => this.#placeDivider(this.#divider.value / 100));
    stage.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    stage.addEventListener("dblclick", (event) => {
      if (Math.abs(this.#zoomed - 1) < 1e-6) this.fit();
      else this.actualSize(...this.#place(event));
    });
    stage.addEventListener("pointerdown", (event) => this.#press(event));
    stage.addEventListener("pointermove", (event) => this.#move(event));
    for (const end of ["pointerup", "pointercancel"]) {
      stage.addEventListener(end, (event) => this.#pointers.delete(event.pointerId));
    }
    document.addEventListener("keydown", (event) => this.#keyDown(event));
    document.addEventListener("keyup", (event) => this.#keyUp(event));
    addEventListener("blur", () => { this.#held = null; });
  }

  #resize() {
    const before = this.#room;
    this.#room = { width: this.#stage.clientWidth, height: this.#stage.clientHeight };
    if (this.#fitted) return this.fit();
    const x = this.#x + (this.#room.width - before.width) / 2;
    const y = this.#y + (this.#room.height - before.height) / 2;
    this.#moveTo(this.#scale, x, y);
  }

  #place(event) {
    const corner = this.#stage.getBoundingClientRect();
    return [event.clientX - corner.left, event.clientY - corner.top];
  }

  #wheel(event) {
    event.preventDefault();
    const unit = [1, LINE_HEIGHT, this.#room.height][event.deltaMode];
    const rate = event.ctrlKey ? PER_PINCHED_PIXEL : PER_PIXEL; // so a touch pad says a pinch
    this.zoom(Math.exp(-event.deltaY * unit * rate), ...this.#place(event));
  }

  #isNearDivider(x) {
    return this.#mode === "split" && Math.abs(x - this.#share * this.#room.width) <= NEAR;
  }

  #press(event) {
    if (event.button !== 0) return;
    event.preventDefault();
    const [x, y] = this.#place(event);
    this.#stage.setPointerCapture(event.pointerId);
    this.#drags = !this.#pointers.size && this.#isNearDivider(x) ? "divider" : "image";
    this.#pointers.set(event.pointerId, [x, y]);
    (this.#drags === "divider" ? this.#divider : this.#stage).focus({ preventScroll: true });
    if (this.#drags === "divider") this.#placeDivider(x / this.#room.width);
  }

  #move(event) {
    const [x, y] = this.#place(event);
    const before = this.#pointers.get(event.pointerId);
    this.#stage.classList.toggle("viewer-near", !before && this.#isNearDivider(x));
    if (!before) return;
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.#pointers.set(event.pointerId, [x, y]);
    if (other) {
      const distance = ([left, top]) => Math.hypot(left - other[0], top - other[1]);
      this.zoom(distance([x, y]) / Math.max(distance(before), 1), ...other);
    } else if (this.#drags === "divider") {
      this.#placeDivider(x / this.#room.width);
    } else {
      this.#moveTo(this.#scale, this.#x + x - before[0], this.#y + y - before[1]);
    }
  }

  #hears(event) {
    const inside = this.#element.contains(event.target);
    return inside || (event.target === document.body && this.#element.matches(":hover"));
  }

  #keyDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !this.#hears(event)) return;
    const arrows = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const arrow = event.target === this.#divider ? undefined : arrows[event.key];
    if (event.key in KEYS) this.mode = KEYS[event.key];
    else if (event.key === " ") this.#flicker(event.repeat);
    else if (event.key === "+" || event.key === "=") this.#zoomToPower(1);
    else if (event.key === "-") this.#zoomToPower(-1);
    else if (event.key === "0") this.fit();
    else if (arrow) this.#moveBy(...arrow);
    else return;
    event.preventDefault();
  }

  #keyUp(event) {
    if (event.key !== " " || !this.#held) return;
    const { mode, since } = this.#held;
    this.#held = null;
    if (event.timeStamp - since > HELD) this.mode = mode;
  }

  #flicker(repeated) {
    if (repeated) return;
    this.#held = { mode: this.#mode, since: performance.now() };
    this.mode = this.#mode === "after" ? "before" : "after";
  }

  // The next zoom of ..., 50, 100, 200, ... %
  #zoomToPower(direction) {
    const power = Math.log2(this.#zoomed) * direction;
    this.zoom(2 ** (direction * (Math.floor(power + 1e-6) + 1)) / this.#zoomed);
  }

  #moveBy(columns, rows) {
    const { width, height } = this.#room;
    const step = STEP * Math.min(width, height);
    this.#moveTo(this.#scale, this.#x + columns * step, this.#y + rows * step);
  }
}
