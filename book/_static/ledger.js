// Filter the ledger of claims. Without this script the ledger is a plain, complete table.
(() => {
  const table = document.querySelector("table.ledger");
  if (!table) return;
  const rows = Array.from(table.tBodies[0].rows);

  const prefixed = (row, prefix) =>
    Array.from(row.classList)
      .filter((name) => name.startsWith(prefix))
      .map((name) => name.slice(prefix.length));
  const values = (prefix) => [...new Set(rows.flatMap((row) => prefixed(row, prefix)))].sort();
  const paperName = (key) =>
    rows.find((row) => row.classList.contains(`paper-${key}`)).querySelector(".paper").textContent;

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
  const select = (label, prefix, name) => {
    const control = document.createElement("select");
    control.append(new Option("all", ""));
    for (const value of values(prefix)) control.append(new Option(name(value), value));
    return field(label, control);
  };

  const words = field("Words", Object.assign(document.createElement("input"), { type: "search" }));
  const paper = select("Paper", "paper-", paperName);
  const verdict = select("Verdict", "is-", (value) => value);
  const count = document.createElement("output");
  form.append(count);

  const show = () => {
    const sought = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const text = row.textContent.toLowerCase();
      const fits =
        sought.every((word) => text.includes(word)) &&
        (!paper.value || row.classList.contains(`paper-${paper.value}`)) &&
        (!verdict.value || row.classList.contains(`is-${verdict.value}`));
      row.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${rows.length} claims`;
  };

  // A link may carry a filter (ledger.html?verdict=false), or point at one claim.
  const asked = new URLSearchParams(location.search);
  words.value = asked.get("words") ?? "";
  for (const [control, name] of [[paper, "paper"], [verdict, "verdict"]]) {
    const value = asked.get(name) ?? "";
    if (Array.from(control.options).some((option) => option.value === value)) control.value = value;
  }

  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  table.parentElement.before(form);
  show();
})();
