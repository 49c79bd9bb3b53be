// Both tests, linked: a method that is pointed at lights up in the scores, the ranks and the maps.
(() => {
  const { drawing, shown, plot } = window.sanitygap;

  const ranksOf = (values) => values.map((value) => {
    const lower = values.filter((other) => other < value).length;
    return lower + (values.filter((other) => other === value).length + 1) / 2;
  });

  // Kendall's tau of two lists of scores.
  const kendall = (first, second) => {
    let [sum, pairs] = [0, 0];
    for (let a = 0; a < first.length; a += 1) {
      for (let b = a + 1; b < first.length; b += 1) {
        sum += Math.sign(first[a] - first[b]) * Math.sign(second[a] - second[b]);
        pairs += 1;
      }
    }
    return sum / pairs;
  };

  const enhance = (view) => {
    const { methods, five, networks } = JSON.parse(view.querySelector("script").textContent);
    const form = view.querySelector("form");
    const { network, reduction, similarity } = form.elements;
    const buttons = Array.from(view.querySelectorAll("button"));
    const [says, about] = view.querySelectorAll(".linked-says > *");
    const scores = plot({ title: "Scores (low is good)", x: "mean SSIM, randomisation", y: "mean softmax, occlusion" });
    const ranks = plot({ title: "Ranks (1 is best)", x: "", y: "rank" });
    view.querySelector(".simulator-views").append(scores.box, ranks.box);

    const badge = (number, className) => {
      const name = drawing("text", { "text-anchor": "middle", y: 4 });
      name.textContent = number + 1;
      const group = drawing("g", { class: `stays ${className}` }, drawing("circle", { r: 9 }), name);
      group.style.setProperty("--own", methods[number].color);
      group.addEventListener("pointerenter", () => light(number));
      return group;
    };
    const marks = methods.map((_, number) => ({
      point: badge(number, "badge"),
      left: badge(number, "badge"),
      right: badge(number, "badge"),
    }));
    for (const { point, left, right } of marks) {
      scores.svg.append(point);
      ranks.svg.append(left, right);
    }
    let lines = [];
    let chosen = five[0];
    let places = [];

    const light = (number) => {
      chosen = number;
      methods.forEach((_, at) => {
        const on = at === number;
        for (const part of [...Object.values(marks[at]), lines[at]]) part.classList.toggle("is-chosen", on);
        buttons[at].setAttribute("aria-pressed", on);
      });
      // What is drawn last lies on top.
      scores.svg.append(marks[number].point);
      const [random, occluded] = places;
      about.textContent = `${methods[number].label}: rank ${shown(random[number])} of ${methods.length} by randomisation, ${shown(occluded[number])} by occlusion.`;
    };

    const move = (group, x, y) => { group.style.transform = `translate(${x}px, ${y}px)`; };

    const update = () => {
      const one = networks[network.value];
      const random = one.randomization[reduction.value][similarity.value];
      const occluded = one.occlusion[reduction.value];
      const ends = (values) => {
        const all = values.flat(3);
        const [low, high] = [Math.min(...all), Math.max(...all)];
        const margin = 0.08 * (high - low || 1);
        return [low - margin, high + margin];
      };
      // One scale for a network, so that points move and axes do not.
      const limits = { x: ends(one.randomization), y: ends(one.occlusion) };
      const ticks = (axis) => limits[axis].map((value) => [value, value.toFixed(2).replace("-", "−")]);
      scores.start(limits, { x: ticks("x"), y: ticks("y") });
      places = [ranksOf(random), ranksOf(occluded)];
      const count = methods.length;
      ranks.start({ x: [-0.15, 1.15], y: [count + 0.5, 0.5] }, {
        x: [[0, "randomisation"], [1, "occlusion"]],
        y: [[1], [count]],
      });
      lines = methods.map((_, number) => {
        const [a, b] = [places[0][number], places[1][number]];
        const { point, left, right } = marks[number];
        move(point, scores.place.x(random[number]), scores.place.y(occluded[number]));
        move(left, ranks.place.x(0), ranks.place.y(a));
        move(right, ranks.place.x(1), ranks.place.y(b));
        const line = ranks.line([[0, a], [1, b]], "rank");
        ranks.svg.prepend(line);
        return line;
      });
      for (const picture of view.querySelectorAll("img")) {
        const frames = Number(picture.dataset.frames);
        picture.style.width = `${100 * frames}%`;
        picture.style.transform = `translateX(${frames > 1 ? (-100 * reduction.value) / frames : 0}%)`;
      }
      const tau = kendall(five.map((at) => random[at]), five.map((at) => occluded[at]));
      const pairs = (five.length * (five.length - 1)) / 2;
      says.textContent = `The tests agree on ${shown((pairs * (1 + tau)) / 2)} of the ${pairs} pairs of methods 1 to ${five.length}: Kendall’s τ is ${shown(tau)}, over ${one.images} images.`;
      const order = (at) => methods.map((method, number) => [at[number], method.label])
        .sort((a, b) => a[0] - b[0]).map(([, label]) => label).join(", ");
      scores.about(says.textContent);
      ranks.about(`by randomisation ${order(places[0])}; by occlusion ${order(places[1])}`);
      light(chosen);
    };

    buttons.forEach((button, number) => {
      button.disabled = false;
      for (const event of ["pointerenter", "focus", "click"]) {
        button.addEventListener(event, () => light(number));
      }
    });
    form.addEventListener("input", update);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.hidden = false;
    view.querySelector("details").open = false;
    view.classList.add("is-live");
    update();
  };

  document.querySelectorAll(".linked").forEach(enhance);
})();
