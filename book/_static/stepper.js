// Views that readers step through. Without this script each is its pictures and its tables.
(() => {
  const svgNames = "http://www.w3.org/2000/svg";

  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  const drawing = (name, attributes = {}) => {
    const made = document.createElementNS(svgNames, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  };

  // The tables are the only source of names and numbers.
  const read = (view) => {
    const tables = Array.from(view.querySelectorAll("table"), (table) => ({
      title: table.caption.textContent,
      rows: Array.from(table.tBodies[0].rows, (row) =>
        Array.from(row.cells).slice(1).map((cell) => cell.textContent),
      ),
    }));
    const [table] = view.querySelectorAll("table");
    const heads = Array.from(table.tHead.rows[0].cells).slice(1);
    return {
      tables,
      methods: heads.map((head) => ({ name: head.dataset.method, label: head.textContent })),
      frames: Array.from(table.tBodies[0].rows, (row) => row.cells[0].textContent),
    };
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

  const panel = (box, { methods, frames }, regions) => {
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

    return (method, frame) => {
      const { name, label } = methods[method];
      for (const picture of pictures) {
        const count = Number(picture.dataset.frames);
        picture.hidden = picture.dataset.method !== "" && picture.dataset.method !== name;
        picture.style.width = `${100 * count}%`;
        picture.style.transform = count > 1 ? `translateX(${(-100 * frame) / count}%)` : "";
        picture.alt =
          count > 1 ? `${label}: ${box.dataset.title}, ${frames[frame]}` : still.get(picture);
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

  const enhance = (view) => {
    const content = read(view);
    const { tables, methods, frames } = content;
    const regions = view.dataset.regions ? JSON.parse(view.dataset.regions) : null;

    const select = element("select");
    methods.forEach(({ label }, place) => select.append(new Option(label, place)));
    const slider = element("input", { type: "range", min: 0, max: frames.length - 1, step: 1 });
    slider.value = 0;
    const told = element("output");
    told.setAttribute("aria-live", "polite");
    const form = element(
      "form",
      { className: "stepper-controls", autocomplete: "off" },
      element("label", {}, "Method", select),
      element("label", { className: "stepper-slider" }, view.dataset.step, slider),
      told,
    );

    const boxes = Array.from(view.querySelectorAll(".stepper-panel"));
    const parts = boxes.map((box) => panel(box, content, regions));
    const line = chart(content, regions ? regions.counts : frames.map((_, place) => place));
    parts.push(line.show);

    const show = () => {
      const method = Number(select.value);
      const frame = Number(slider.value);
      const numbers = tables
        .map(({ title, rows }) => `${title} ${rows[frame][method]}`)
        .join(", ");
      slider.setAttribute("aria-valuetext", `${frames[frame]}: ${numbers}`);
      told.textContent = `${methods[method].label}, ${frames[frame]}: ${numbers}`;
      for (const part of parts) part(method, frame);
    };

    form.addEventListener("input", show);
    form.addEventListener("submit", (event) => event.preventDefault());
    view.prepend(form);
    view.querySelector(".stepper-panels").after(line.box);
    view.querySelector("details").open = false;
    view.classList.add("is-live");
    show();
  };

  document.querySelectorAll(".stepper").forEach(enhance);
})();
