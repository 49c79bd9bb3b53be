// Views that readers step through. Without this script each is its pictures and its tables.
(() => {
  const { element, drawing } = window.sanitygap;

  // The tables are the only source of names and numbers. A gallery has tables for each image and
  // order; any other view has those of one series.
  const read = (view) => {
    const series = new Map();
    for (const table of view.querySelectorAll("table")) {
      const { image = "", order = "", title = table.caption.textContent } = table.dataset;
      const key = JSON.stringify([image, order]);
      const rows = Array.from(table.tBodies[0].rows);
      if (!series.has(key)) {
        const heads = Array.from(table.tHead.rows[0].cells).slice(1);
        series.set(key, {
          image,
          order,
          tables: [],
          methods: heads.map((head) => ({ name: head.dataset.method, label: head.textContent })),
          frames: rows.map((row) => row.cells[0].textContent),
          places: rows.map((row, place) => Number(row.dataset.place ?? place)),
        });
      }
      series.get(key).tables.push({
        title,
        rows: rows.map((row) => Array.from(row.cells).slice(1).map((cell) => cell.textContent)),
      });
    }
    return Array.from(series.values());
  };

  const number = (text) => Number.parseFloat(text.replace("−", "-"));

  // One line a method over the frames, from the first table; the chosen one stands out.
  const chart = ({ tables, methods, frames }, places) => {
    const { title, rows } = tables[0];
    const values = rows.flat().map(number).filter(Number.isFinite);
    const low = Math.min(0, ...values);
    const high = Math.max(1, ...values);
    const x = (frame) => (100 * places[frame]) / Math.max(1, places.at(-1));
    const y = (value) => (100 * (high - value)) / (high - low);
    const lines = drawing("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none" });
    const paths = methods.map((_, column) => {
      let gap = true;
      const path = rows.map((row, frame) => {
        const value = number(row[column]);
        const move = gap ? "M" : "L";
        gap = !Number.isFinite(value);
        return gap ? "" : `${move}${x(frame)} ${y(value)}`;
      });
      return drawing("path", { d: path.join("") });
    });
    const here = drawing("path", { class: "stepper-here" });
    const point = drawing("path", { class: "stepper-point" });
    lines.append(...paths, here, point);
    const said = (text, name) => element("span", { textContent: text, className: name });
    const box = element(
      "div",
      { className: "stepper-chart" },
      said(title, "stepper-title"),
      said(high.toFixed(1), "stepper-high"),
      said(low.toFixed(1).replace("-", "−"), "stepper-low"),
      lines,
      said(frames[0], "stepper-start"),
      said(frames.at(-1), "stepper-end"),
    );
    box.setAttribute("aria-hidden", "true"); // the slider says the numbers and the table holds them
    const show = (method, frame) => {
      paths.forEach((path, column) => path.classList.toggle("is-chosen", column === method));
      lines.insertBefore(paths[method], here);
      const value = number(rows[frame][method]);
      here.setAttribute("d", `M${x(frame)} 0V100`);
      point.setAttribute("d", Number.isFinite(value) ? `M${x(frame)} ${y(value)}h0` : "");
    };
    return { box, show };
  };

  const panel = (box, regions) => {
    const place = box.querySelector(".stepper-window");
    const [height, width] = regions ? regions.size : [1, 1];
    const beneath = place.querySelector(".stepper-beneath");
    const pictures = Array.from(place.querySelectorAll("img:not(.stepper-beneath)"));
    const still = new Map(pictures.map((picture) => [picture, picture.alt]));
    place.style.aspectRatio = `${place.dataset.width} / ${place.dataset.height}`;
    const outlines = drawing("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    const latest = drawing("path", { class: "is-latest" });
    const others = drawing("path");
    if (regions && "marks" in place.dataset) {
      outlines.append(others, latest);
      place.append(outlines);
    }
    const outline = (boxes) => boxes.map(([x, y, w, h]) => `M${x} ${y}h${w}v${h}h${-w}z`).join("");
    const corners = ([x, y, w, h]) =>
      [[x, y], [x + w, y], [x + w, y + h], [x, y + h], [x, y]]
        .map(([a, b]) => `${(100 * a) / width}% ${(100 * b) / height}%`);
    const fits = (value, chosen) => value === undefined || value === "" || value === chosen;

    return ({ image, methods, frames, places }, method, frame) => {
      const { name, label } = methods[method];
      const stays = "still" in box.dataset; // always the first picture of its strip
      for (const picture of pictures) {
        const count = Number(picture.dataset.frames);
        picture.hidden = !(fits(picture.dataset.method, name) && fits(picture.dataset.image, image));
        const shift = stays ? 0 : places[frame];
        picture.style.width = `${100 * count}%`;
        picture.style.transform = count > 1 ? `translateX(${(-100 * shift) / count}%)` : "";
        const about = [image, label, box.dataset.title].filter(Boolean).join(": ");
        picture.alt = count > 1 ? `${about}${stays ? "" : `, ${frames[frame]}`}` : still.get(picture);
      }
      if (!regions) return;
      const count = regions.counts[frame];
      const before = frame ? regions.counts[frame - 1] : 0;
      const boxes = regions.boxes[name].slice(0, count);
      others.setAttribute("d", outline(boxes.slice(0, before)));
      latest.setAttribute("d", outline(boxes.slice(before)));
      if (beneath) {
        // One polygon for all regions: it runs back to the corner of the picture after each.
        const path = ["0% 0%", ...boxes.flatMap((region) => [...corners(region), "0% 0%"])];
        beneath.style.clipPath = `polygon(${path.join(", ")})`;
      }
    };
  };

  // In a gallery the trained network's map stands beside the one of the slider: the same strips.
  const addStill = (box) => {
    const copy = box.cloneNode(true);
    copy.dataset.title = "map of the trained network";
    copy.dataset.still = "";
    copy.querySelector(".stepper-title").textContent = copy.dataset.title;
    box.before(copy);
  };

  // The address says what a gallery shows, so that it can be sent to somebody.
  const remember = (controls) => {
    const query = new URLSearchParams();
    for (const [name, control] of Object.entries(controls)) {
      query.set(name, control.selectedOptions?.[0].text ?? control.value);
    }
    history.replaceState(null, "", `?${query}${location.hash}`);
  };

  const recall = (controls) => {
    const query = new URLSearchParams(location.search);
    for (const [name, control] of Object.entries(controls)) {
      const asked = query.get(name);
      if (asked === null) continue;
      if (!control.options) control.value = asked;
      for (const option of control.options ?? []) option.selected ||= option.text === asked;
    }
  };

  let ids = 0;

  const enhance = (view) => {
    const series = read(view);
    const regions = view.dataset.regions ? JSON.parse(view.dataset.regions) : null;
    const several = series.length > 1;

    const select = (names) => {
      const made = element("select");
      names.forEach((name, place) => made.append(new Option(name, place)));
      return made;
    };
    const different = (name) => [...new Set(series.map((one) => one[name]))];
    const images = different("image");
    const orders = different("order");
    const [{ methods, frames }] = series;
    const slider = element("input", { type: "range", min: 0, max: frames.length - 1, step: 1 });
    slider.value = view.dataset.start ?? 0;
    const sayings = JSON.parse(view.dataset.told ?? "[]");
    const controls = {
      image: select(images),
      method: select(methods.map(({ label }) => label)),
      order: select(orders),
      stage: slider,
    };
    const told = element("output");
    told.setAttribute("aria-live", "polite");
    const ticks = element("datalist", { id: `stepper-ticks-${(ids += 1)}` });
    const play = element("button", { type: "button", className: "stepper-play" }, "Play");
    // Where every panel is about one method there is none to choose.
    const chosen = view.querySelector("img[data-method]:not([data-method=''])") !== null;
    const form = element(
      "form",
      { className: "stepper-controls", autocomplete: "off" },
      ...(several ? [element("label", {}, "Image", controls.image)] : []),
      ...(chosen ? [element("label", {}, "Method", controls.method)] : []),
      ...(several ? [element("label", {}, "Order", controls.order)] : []),
      element("label", { className: "stepper-slider" }, view.dataset.step, slider),
      play,
      ticks,
      told,
    );
    slider.setAttribute("list", ticks.id);

    if (several) addStill(view.querySelector(".stepper-panel:last-child"));
    const parts = Array.from(view.querySelectorAll(".stepper-panel"), (box) => panel(box, regions));
    const lines = series.map((one) =>
      chart(one, regions ? regions.counts : one.frames.map((_, place) => place)),
    );

    const blocks = Array.from(view.querySelectorAll(".stepper-blocks li"));
    const values = Array.from(view.querySelectorAll("[data-column]"), (box) => {
      const value = element("b", { className: "stepper-value" });
      box.querySelector(".stepper-title").append(" ", value);
      return [methods.findIndex(({ name }) => name === box.dataset.column), value];
    });

    let playing = 0;
    const stop = () => {
      clearInterval(playing);
      playing = 0;
      play.textContent = "Play";
      told.setAttribute("aria-live", "polite");
    };
    const advance = () => {
      const at = Number(slider.value);
      if (at >= Number(slider.max)) return stop();
      slider.value = at + 1;
      slider.dispatchEvent(new Event("input", { bubbles: true }));
      return at;
    };
    play.addEventListener("click", () => {
      if (playing) return stop();
      if (slider.value === slider.max) {
        slider.value = 0;
        show();
      }
      playing = setInterval(advance, 900);
      play.textContent = "Stop";
      told.setAttribute("aria-live", "off"); // a reader would be read every frame
      return playing;
    });

    const show = () => {
      const image = images[controls.image.value];
      const order = orders[controls.order.value];
      const place = series.findIndex((one) => one.image === image && one.order === order);
      const shown = series[place];
      slider.max = shown.frames.length - 1;
      ticks.replaceChildren(...shown.frames.map((_, tick) => new Option("", tick)));
      const method = Number(controls.method.value);
      const frame = Number(slider.value);
      const [{ title, rows }] = shown.tables;
      const numbers = chosen
        ? shown.tables.map((table) => `${table.title} ${table.rows[frame][method]}`)
        : shown.methods.map(({ label }, column) => `${label} ${rows[frame][column]}`);
      const sayingOf = sayings[frame] ? `${sayings[frame]} ` : "";
      const words = `${shown.frames[frame]}: ${sayingOf}${chosen ? "" : `${title}: `}${numbers.join(", ")}`;
      slider.setAttribute("aria-valuetext", words);
      told.textContent = chosen
        ? [image, shown.methods[method].label, words].filter(Boolean).join(", ")
        : `${shown.frames[frame]}: ${sayingOf}`;
      for (const [place, value] of values) value.textContent = `SSIM ${rows[frame][place]}`;
      for (const block of blocks) block.classList.toggle("is-redrawn", frame >= block.dataset.from);
      for (const part of parts) part(shown, method, frame);
      lines.forEach(({ box }, number) => { box.hidden = number !== place; });
      lines[place].show(method, frame);
    };

    form.addEventListener("input", () => {
      show();
      if (several) remember(controls);
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    view.prepend(form);
    if (chosen) view.querySelector(".stepper-panels").after(...lines.map(({ box }) => box));
    view.querySelector("details").open = false;
    view.classList.add("is-live");
    if (several) recall(controls);
    show();
  };

  document.querySelectorAll(".stepper").forEach(enhance);
})();
