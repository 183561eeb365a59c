
// The page of one image: its pictures in the viewer, with a button for each view.
{
  const sets = [...document.querySelectorAll(".views")];
  document.documentElement.classList.add("script");
  const viewer = new Viewer(document.getElementById("viewer"));
  const caption = document.getElementById("caption");
  const patches = document.getElementById("patches");
  let captions = {};

  const button = (group, text, press) => {
    const one = Object.assign(document.createElement("button"), { type: "button" });
    one.append(text);
    one.addEventListener("click", (event) => {
      press();
      if (event.detail) viewer.focus(); // not where a key has clicked
    });
    document.getElementById(group).append(one);
    return one;
  };
  const buttons = Object.entries(KEYS).map(([key, mode]) => {
    const one = button("modes", LABELS[mode], () => { viewer.mode = mode; });
    one.title = `key ${key}`;
    return [mode, one];
  });
  const setButtons = sets.length < 2 ? [] : sets.map((set) =>
    button("sets", set.dataset.title, () => choose(set)));

  const update = () => {
    for (const [mode, one] of buttons) {
      one.hidden = !viewer.modes.includes(mode);
      one.setAttribute("aria-pressed", mode === viewer.mode);
    }
    caption.textContent = captions[viewer.mode];
  };

  const choose = (set) => {
    const views = {};
    captions = { split: "Before on the left, after on the right." };
    for (const figure of set.querySelectorAll("figure")) {
      views[figure.dataset.view] = figure.querySelector("img").src;
      captions[figure.dataset.view] = figure.querySelector("figcaption").textContent;
    }
    if (patches) {
      views.model = patches.src;
      captions.model = patches.nextElementSibling.textContent;
    }
    viewer.show({ views, width: +set.dataset.width, height: +set.dataset.height });
    setButtons.forEach((one, number) => one.setAttribute("aria-pressed", sets[number] === set));
    update();
  };

  viewer.onchange = update;
  choose(sets[0]);
}
