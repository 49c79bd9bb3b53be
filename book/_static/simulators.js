// Theorems to play with. Without this script each is a table of settings and what they give.
(() => {
  const { element, drawing, shown, plot } = window.sanitygap;

  // Random numbers that depend on the seed only, so that a setting looks the same again.
  const stream = (seed) => {
    let state = seed >>> 0;
    const uniform = () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return (((mixed ^ (mixed >>> 14)) >>> 0) + 0.5) / 4294967296;
    };
    const normal = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
    return { uniform, normal };
  };

  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

  // --- Theorem 1 ---------------------------------------------------------------------------------

  const constants = (range) => [(0.01 * range) ** 2, (0.03 * range) ** 2];

  const ssim = ({ meanA, meanB, varianceA, varianceB, covariance }, range) => {
    const [c1, c2] = constants(range);
    const light = (2 * meanA * meanB + c1) / (meanA ** 2 + meanB ** 2 + c1);
    return (light * (2 * covariance + c2)) / (varianceA + varianceB + c2);
  };

  const bound = (varianceA, varianceB, range) => {
    const [, c2] = constants(range);
    return c2 / (varianceA + varianceB + c2);
  };

  const moments = (at, correlation = at.correlation) => ({
    meanA: at.mean_a,
    meanB: at.mean_b,
    varianceA: at.sd_a ** 2,
    varianceB: at.sd_b ** 2,
    covariance: correlation * at.sd_a * at.sd_b,
  });

  const patches = (at, random) => {
    const rest = Math.sqrt(1 - at.correlation ** 2);
    const a = new Float64Array(at.pixels);
    const b = new Float64Array(at.pixels);
    for (let pixel = 0; pixel < at.pixels; pixel += 1) {
      const first = random.normal();
      a[pixel] = at.mean_a + at.sd_a * first;
      b[pixel] = at.mean_b + at.sd_b * (at.correlation * first + rest * random.normal());
    }
    return [a, b];
  };

  const sampled = (a, b) => {
    const [meanA, meanB] = [mean(a), mean(b)];
    const product = (u, meanU, v, meanV) =>
      u.reduce((sum, value, at) => sum + (value - meanU) * (v[at] - meanV), 0) / (u.length - 1);
    return {
      meanA,
      meanB,
      varianceA: product(a, meanA, a, meanA),
      varianceB: product(b, meanB, b, meanB),
      covariance: product(a, meanA, b, meanB),
    };
  };

  // Red above zero, blue below, as in the maps of this book; both patches on one scale.
  const paint = (canvas, values, scale) => {
    const side = Math.round(Math.sqrt(values.length));
    canvas.width = side;
    canvas.height = side;
    const pen = canvas.getContext("2d");
    values.forEach((value, at) => {
      const pale = Math.round(255 * (1 - Math.min(1, Math.abs(value) / scale)));
      pen.fillStyle = value > 0 ? `rgb(255 ${pale} ${pale})` : `rgb(${pale} ${pale} 255)`;
      pen.fillRect(at % side, Math.floor(at / side), 1, 1);
    });
  };

  const theorem1 = () => {
    const draws = 1000;
    const curve = plot({ title: "SSIM of the moments", x: "correlation", y: "SSIM" });
    const bars = plot({ title: `SSIM of ${draws} drawn pairs`, x: "SSIM", y: "pairs" });
    const pair = ["A", "B"].map((name) => {
      const canvas = element("canvas", { width: 1, height: 1 });
      canvas.setAttribute("role", "img");
      return { name, canvas };
    });
    const first = element(
      "figure",
      { className: "plot patches" },
      element("p", { textContent: "The first pair" }),
      ...pair.map(({ name, canvas }) => element("span", {}, canvas, `patch ${name}`)),
    );
    const show = (at, seed) => {
      const range = at.range;
      const value = ssim(moments(at), range);
      const limit = bound(at.sd_a ** 2, at.sd_b ** 2, range);
      const random = stream(seed);
      const drawn = patches(at, random);
      const scale = Math.max(...[...drawn[0], ...drawn[1]].map(Math.abs)) || 1;
      pair.forEach(({ name, canvas }, place) => {
        paint(canvas, drawn[place], scale);
        canvas.setAttribute("aria-label", `Patch ${name}, ${at.pixels} drawn pixels`);
      });
      const values = [ssim(sampled(...drawn), range)];
      while (values.length < draws) values.push(ssim(sampled(...patches(at, random)), range));

      // What the moments say, as the correlation runs from -1 to 1.
      const steps = Array.from({ length: 81 }, (_, step) => step / 40 - 1);
      const along = (one) => steps.map((step) => [step, ssim(moments(one, step), range)]);
      const fixed = at.variances === "fixed" ? null : { ...at, sd_a: at.held, sd_b: at.held };
      curve.start({ x: [-1, 1], y: [-1, 1] }, { x: [[-1], [0], [1]], y: [[-1], [0], [1]] });
      curve.line([[0, -1], [0, 1]], "guide");
      for (const sign of [1, -1]) curve.line([[-1, sign * limit], [1, sign * limit]], "limit");
      if (fixed) curve.line(along(fixed), "other");
      curve.line(along(at), "main");
      const mark = (one, correlation, name) => curve.svg.append(drawing("circle", {
        cx: curve.place.x(correlation),
        cy: curve.place.y(ssim(moments(one, correlation), range)),
        r: 6,
        class: name,
      }));
      if (fixed) mark(fixed, 0, "other-point");
      mark(at, at.correlation, "point");
      curve.about(`${shown(value)} at correlation ${shown(at.correlation)}`);

      const width = 0.05;
      const counts = new Array(40).fill(0);
      for (const one of values) counts[Math.max(0, Math.min(39, Math.floor((one + 1) / width)))] += 1;
      const most = Math.max(...counts);
      bars.start({ x: [-1, 1], y: [0, most] }, { x: [[-1], [0], [1]], y: [[0], [most]] });
      counts.forEach((count, bin) => {
        const [x, y] = [bars.place.x(bin * width - 1), bars.place.y(count)];
        const size = { width: bars.place.x(width) - bars.place.x(0) - 1, height: bars.place.y(0) - y };
        bars.svg.append(drawing("rect", { class: "bar", x, y, ...size }));
      });
      bars.line([[value, 0], [value, most]], "limit");
      bars.about(`mean ${shown(mean(values))}, dashed the SSIM of the moments ${shown(value)}`);

      const numbers = {
        "SSIM of the moments": value,
        "bound of Theorem 1": limit,
        "mean SSIM of the pairs": mean(values),
        "mean |SSIM| of the pairs": mean(values.map(Math.abs)),
      };
      const held = fixed && Math.abs(ssim(moments(fixed, 0), range));
      if (fixed) numbers["|SSIM| without covariance, spreads held"] = held;
      let words = "With these variances no correlation from 0 to 1 gives a smaller |SSIM| than 0 does.";
      if (fixed && at.correlation > 0) {
        words = Math.abs(value) < held
          ? "A counterexample: these patches covary, and yet their |SSIM| is smaller than that of patches with the same means, other spreads and no covariance."
          : "No counterexample at this setting: raise the spreads, or lower those that are held.";
      } else if (at.correlation < 0) {
        words = "A negative covariance is outside of the theorem. The lowest signed SSIM is there.";
      }
      return { numbers, words };
    };
    return { boxes: [first, curve.box, bars.box], show };
  };

  // --- Theorem 2 ---------------------------------------------------------------------------------

  const laws = {
    normal: (random) => random.normal(),
    uniform: (random) => 2 * random.uniform() - 1,
    Laplace: (random) => {
      const half = random.uniform() - 0.5;
      return -Math.sign(half) * Math.log(1 - 2 * Math.abs(half));
    },
    "Student t1": (random) => Math.tan(Math.PI * (random.uniform() - 0.5)),
  };

  const theorem2 = () => {
    const [draws, dots] = [4000, 400];
    const cloud = plot({ title: `${dots} neurons`, x: "L, sum over large", y: "S, sum over small" });
    const bars = plot({ title: "How often small ones win", x: "", y: "probability" });
    const show = (at, seed) => {
      const random = stream(seed);
      const draw = laws[at.weights];
      const sum = (count) => {
        if (at.weights === "normal") return Math.sqrt(count) * random.normal();
        let total = 0;
        for (let number = 0; number < count; number += 1) total += draw(random);
        return total;
      };
      const sums = Array.from({ length: draws }, () => [at.ratio * sum(at.n_large), sum(at.n_small)]);
      const over = ([large, small]) => large > 0 && small >= large;
      const joint = at.event === "joint";
      const cases = joint ? sums : sums.filter(([large]) => large > 0);
      const frequency = cases.filter(over).length / cases.length;
      const tail = Math.atan(Math.sqrt(at.n_small / at.n_large) / at.ratio) / Math.PI;
      const exact = joint ? tail / 2 : tail;

      // Nearly all values lie within; those of heavy tails would squeeze the rest into a point.
      const reach = (axis) => {
        const sizes = sums.slice(0, dots).map((one) => Math.abs(one[axis])).sort((a, b) => a - b);
        return Number((1.3 * sizes[Math.floor(0.97 * dots)]).toPrecision(2));
      };
      const [wide, high] = [reach(0), reach(1)];
      cloud.start(
        { x: [-wide, wide], y: [-high, high] },
        { x: [[-wide], [0], [wide]], y: [[-high], [0], [high]] },
      );
      const corner = Math.min(wide, high);
      const edge = corner < high ? [[wide, corner], [wide, high]] : [[corner, high]];
      const wedge = [[0, 0], ...edge, [0, high]];
      cloud.svg.append(drawing("polygon", {
        class: "wedge",
        points: wedge.map(([a, b]) => `${cloud.place.x(a)},${cloud.place.y(b)}`).join(" "),
      }));
      cloud.line([[0, -high], [0, high]], "guide");
      let won = 0;
      for (const one of sums.slice(0, dots)) {
        won += over(one);
        if (Math.abs(one[0]) > wide || Math.abs(one[1]) > high) continue;
        const [x, y] = [cloud.place.x(one[0]), cloud.place.y(one[1])];
        cloud.svg.append(over(one)
          ? drawing("path", { class: "cross", d: `M${x - 3} ${y - 3}l6 6m0 -6l-6 6` })
          : drawing("circle", { class: "dot", cx: x, cy: y, r: 2 }));
      }
      cloud.about(`${won} of ${dots} neurons lie in the wedge, where small activations win`);

      const highest = joint ? 0.25 : 0.5;
      bars.start({ x: [0, 2], y: [0, highest] }, {
        x: [[0.5, "counted"], [1.5, "arctan tail"]],
        y: [[0], [highest]],
      });
      [frequency, tail].forEach((value, place) => {
        const y = bars.place.y(Math.min(value, highest));
        const x = bars.place.x(place + 0.25);
        const size = { width: bars.place.x(0.5) - bars.place.x(0), height: bars.place.y(0) - y };
        bars.svg.append(drawing("rect", { class: place ? "bar other" : "bar", x, y, ...size }));
      });
      bars.line([[1.2, exact], [1.8, exact]], "limit");
      const half = 1.96 * Math.sqrt((frequency * (1 - frequency)) / cases.length);
      bars.line([[0.5, Math.max(0, frequency - half)], [0.5, frequency + half]], "main");
      bars.about(`counted ${shown(frequency)}, tail ${shown(tail)}`);

      const far = Math.abs(frequency - exact) > 2 * half;
      return {
        numbers: {
          "counted frequency": frequency,
          "arctan tail": tail,
          "exact for normal weights": exact,
          "neurons counted": cases.length,
        },
        words: far
          ? "The frequency differs from the value for normal weights: these weights are not normal."
          : joint
            ? "The joint event has half the probability of the tail; the paper states the whole."
            : "Given L > 0, the frequency is that of the tail, up to chance.",
      };
    };
    return { boxes: [cloud.box, bars.box], show };
  };

  // --- both --------------------------------------------------------------------------------------

  const kinds = { "theorem-1": theorem1, "theorem-2": theorem2 };

  const enhance = (view) => {
    const form = view.querySelector("form");
    const says = view.querySelector(".simulator-says");
    const list = view.querySelector("dl");
    const { boxes, show } = kinds[view.dataset.simulator]();
    view.querySelector(".simulator-views").append(...boxes);
    const { preset, again } = form.elements;
    const controls = Array.from(form.querySelectorAll("[data-values]"), (control) => ({
      control,
      values: JSON.parse(control.dataset.values),
      said: control.parentElement.querySelector("output"),
    }));
    let seed = 1;
    const update = () => {
      const at = {};
      for (const { control, values, said } of controls) {
        const value = values[control.value];
        at[control.name] = value;
        if (!said) continue;
        said.textContent = shown(value);
        control.setAttribute("aria-valuetext", shown(value));
      }
      for (const part of form.querySelectorAll("[data-only]")) {
        const [name, value] = part.dataset.only.split("=");
        part.hidden = at[name] !== value;
      }
      const { numbers, words } = show(at, seed);
      says.textContent = words;
      list.replaceChildren(...Object.entries(numbers).map(([name, value]) =>
        element("div", {}, element("dt", {}, name), element("dd", {}, shown(value)))));
    };
    const load = () => {
      const chosen = JSON.parse(preset.value);
      for (const { control, values } of controls) control.value = values.indexOf(chosen[control.name]);
      update();
    };
    let waiting = 0;
    form.addEventListener("input", ({ target }) => {
      cancelAnimationFrame(waiting);
      waiting = requestAnimationFrame(target === preset ? load : update);
    });
    again.addEventListener("click", () => {
      seed += 1;
      update();
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    form.hidden = false;
    view.querySelector("details").open = false;
    view.classList.add("is-live");
    load();
  };

  document.querySelectorAll(".simulator").forEach(enhance);
})();
