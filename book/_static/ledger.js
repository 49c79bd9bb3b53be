// Filter the ledger of claims. Without this script the ledger is a plain, complete table.
(() => {
  const table = document.querySelector("table.ledger");
  if (!table) return;

  const prefixed = (element, prefix) =>
    Array.from(element.classList)
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length));

  // What the page says, read once: a claim, its verdicts, and the models they were reached on.
  const runs = new Set();
  const claims = Array.from(table.tBodies[0].rows, (row) => ({
    row,
    text: row.textContent.toLowerCase(),
    paper: prefixed(row, "paper-")[0],
    kind: prefixed(row, "kind-")[0],
    part: prefixed(row, "part-")[0] ?? "",
    found: Array.from(row.querySelectorAll(".finding"), (finding) => {
      const model = finding.querySelector(".shown-on")?.textContent.trim() ?? "";
      if (finding.classList.contains("of-run")) runs.add(model);
      return { model, verdict: prefixed(finding, "found-")[0] };
    }),
  }));

  const form = document.createElement("form");
  form.className = "ledger-filter";
  form.setAttribute("role", "search");
  form.setAttribute("aria-label", "Filter the claims");

  const field = (label, control) => {
    const wrapper = document.createElement("label");
    wrapper.append(label, control);
    form.append(wrapper);
    return control;
  };
  const select = (label, values, name = (value) => value) => {
    const control = document.createElement("select");
    control.append(new Option("all", ""));
    for (const value of values) control.append(new Option(name(value), value));
    return field(label, control);
  };
  const sorted = (values) => [...new Set(values)].filter(Boolean).sort();
  const paperName = (key) =>
    claims.find((claim) => claim.paper === key).row.querySelector(".paper").textContent;
  const models = sorted(claims.flatMap((claim) => claim.found.map((one) => one.model)));
  models.sort((a, b) => runs.has(b) - runs.has(a));

  const partName = (key) => {
    const spaced = key.replaceAll("-", " ");
    return spaced[0].toUpperCase() + spaced.slice(1);
  };

  const words = field("Words", Object.assign(document.createElement("input"), { type: "search" }));
  const controls = {
    words,
    paper: select("Paper", sorted(claims.map((claim) => claim.paper)), paperName),
    verdict: select("Verdict", sorted(claims.flatMap((c) => c.found.map((one) => one.verdict)))),
    model: select("Model", models),
    kind: select("Kind", sorted(claims.map((claim) => claim.kind))),
    part: select("Part of the book", sorted(claims.map((claim) => claim.part)), partName),
  };
  const count = document.createElement("output");
  count.setAttribute("aria-live", "polite");
  const reset = Object.assign(document.createElement("button"), {
    type: "reset",
    textContent: "Show all",
  });
  form.append(reset, count);

  // A run that did not judge a claim has the verdict not-run on it, as in the counts.
  const verdictsOn = (claim, model) => {
    const found = claim.found.filter((one) => !model || one.model === model);
    if (model && !found.length && runs.has(model)) return ["not-run"];
    return found.map((one) => one.verdict);
  };

  const fits = (claim, sought) => {
    const { paper, part, verdict, model, kind } = controls;
    const verdicts = verdictsOn(claim, model.value);
    return (
      sought.every((word) => claim.text.includes(word)) &&
      (!paper.value || claim.paper === paper.value) &&
      (!part.value || claim.part === part.value) &&
      (!kind.value || claim.kind === kind.value) &&
      (verdict.value ? verdicts.includes(verdict.value) : verdicts.length > 0)
    );
  };

  const show = () => {
    const sought = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const claim of claims) {
      const visible = fits(claim, sought);
      claim.row.hidden = !visible;
      shown += visible;
    }
    count.textContent = `${shown} of ${claims.length} claims`;
  };

  // The address says what is chosen, so that it can be sent to somebody.
  const remember = () => {
    const chosen = new URLSearchParams();
    for (const [name, control] of Object.entries(controls)) {
      if (control.value) chosen.set(name, control.value);
    }
    const query = chosen.toString();
    history.replaceState(null, "", (query ? `?${query}` : location.pathname) + location.hash);
  };

  const recall = () => {
    const asked = new URLSearchParams(location.search);
    for (const [name, control] of Object.entries(controls)) {
      const value = asked.get(name) ?? "";
      const known = !control.options || Array.from(control.options).some((o) => o.value === value);
      control.value = known ? value : "";
    }
  };

  // A link to a claim shows it, whatever is chosen.
  const reveal = () => {
    const row = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!row?.hidden || !table.contains(row)) return;
    form.reset();
    row.scrollIntoView();
  };

  form.addEventListener("input", () => { show(); remember(); });
  form.addEventListener("reset", () => {
    for (const control of Object.values(controls)) control.value = "";
    show();
    remember();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("hashchange", reveal);
  table.parentElement.before(form);
  recall();
  show();
  reveal();
})();
