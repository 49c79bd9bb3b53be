// What the scripts of interactive figures share; it is loaded before them.
window.sanitygap = (() => {
  const svgNames = "http://www.w3.org/2000/svg";

  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  const drawing = (name, attributes = {}, ...children) => {
    const made = document.createElementNS(svgNames, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  // A number as a reader expects it: four digits, and a proper minus sign.
  const shown = (value) =>
    Number.isFinite(value) ? String(Number(value.toPrecision(4))).replace("-", "−") : "undefined";

  // A picture with two axes. `place` turns data into pixels; ticks are data, words stand at them.
  const plot = ({ title, x, y, label }) => {
    const [width, height, left, bottom, top, right] = [320, 220, 44, 38, 8, 18];
    const across = width - left - right;
    const up = height - bottom - top;
    const svg = drawing("svg", { viewBox: `0 0 ${width} ${height}`, role: "img" });
    const box = element("figure", { className: "plot" }, element("p", { textContent: title }), svg);
    let ends = { x: [0, 1], y: [0, 1] };
    const place = {
      x: (value) => left + (across * (value - ends.x[0])) / (ends.x[1] - ends.x[0]),
      y: (value) => top + up * (1 - (value - ends.y[0]) / (ends.y[1] - ends.y[0])),
    };
    const word = (text, attributes) => {
      const made = drawing("text", attributes);
      made.textContent = text;
      return made;
    };
    // Empties the picture of all that does not stay, and draws its axes.
    const start = (limits, ticks) => {
      ends = limits;
      const [low, end] = [top + up, left + across];
      for (const child of [...svg.children]) if (!child.classList.contains("stays")) child.remove();
      const turned = `translate(11 ${top + up / 2}) rotate(-90)`;
      svg.prepend(
        drawing("path", { class: "axis", d: `M${left} ${top}V${low}H${end}` }),
        ...ticks.x.map(([at, text = shown(at)]) =>
          word(text, { x: place.x(at), y: low + 15, "text-anchor": "middle" })),
        ...ticks.y.map(([at, text = shown(at)]) =>
          word(text, { x: left - 5, y: place.y(at) + 4, "text-anchor": "end" })),
        word(x, { x: left + across / 2, y: height - 5, "text-anchor": "middle" }),
        word(y, { transform: turned, "text-anchor": "middle" }),
      );
    };
    const line = (points, className) => {
      const path = points.map(([a, b], at) => `${at ? "L" : "M"}${place.x(a)} ${place.y(b)}`);
      const made = drawing("path", { class: className, d: path.join("") });
      svg.append(made);
      return made;
    };
    const about = (text) => svg.setAttribute("aria-label", `${label ?? title}: ${text}`);
    return { box, svg, place, start, line, about, word };
  };

  return { element, drawing, shown, plot };
})();
