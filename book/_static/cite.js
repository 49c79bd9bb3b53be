// A "cite" button at every section, theorem, equation, figure, table and claim. The entries come with the
// page; without this script the block "Cite this page" at its end is still there.
(() => {
  const source = document.getElementById("citations");
  if (!source) return;
  const { address, parts, works } = JSON.parse(source.textContent);

  const make = (name, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  };

  // Where the site knows no address of its own, the one it is read at is the best there is.
  const entryOf = (part) => {
    if (address || !location.protocol.startsWith("http")) return part.bibtex;
    const page = location.origin + location.pathname;
    const url = part.anchor ? `${page}#${part.anchor}` : page;
    return part.bibtex.replace(/\n\}$/, `\n  url = {${url}},\n}`);
  };

  const dialog = make("dialog", { className: "cite-dialog" });
  const title = make("h2", { id: "cite-title" });
  dialog.setAttribute("aria-labelledby", title.id);
  const link = make("a");
  const close = make("button", { type: "button", textContent: "Close", className: "cite-close" });
  close.addEventListener("click", () => dialog.close());
  const blocks = make("div", { className: "cite-blocks" });
  const said = make("p", { className: "cite-said" });
  said.setAttribute("role", "status");
  dialog.append(make("div", { className: "cite-head" }, title, close),
    make("p", {}, "Permanent link: ", link), blocks, said);
  document.body.append(dialog);

  const copy = async (text, shown) => {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without the clipboard's permission the old way still works.
      getSelection().selectAllChildren(shown);
      if (!document.execCommand("copy")) {
        said.textContent = "Not copied: the text is selected, copy it by hand.";
        return;
      }
    }
    said.textContent = "Copied.";
  };

  const block = (heading, text) => {
    const shown = make("pre", { textContent: text, tabIndex: 0 });
    shown.setAttribute("aria-label", heading);
    shown.setAttribute("role", "region");
    const button = make("button", { type: "button", textContent: "Copy" });
    button.setAttribute("aria-label", `Copy: ${heading}`);
    button.addEventListener("click", () => copy(text, shown));
    return make("div", { className: "cite-block" },
      make("div", { className: "cite-head" }, make("h3", { textContent: heading }), button), shown);
  };

  const open = (part) => {
    title.textContent = `Cite: ${part.title}`;
    const target = part.anchor ? `#${part.anchor}` : location.pathname;
    link.href = target;
    link.textContent = address
      ? /url = \{(.*)\}/.exec(part.bibtex)[1]
      : location.href.replace(/[?#].*$/, "") + (part.anchor ? target : "");
    if (address) link.href = link.textContent;
    blocks.replaceChildren(block("This companion", entryOf(part)));
    if (part.works.length) {
      const entries = part.works.map((key) => works[key]).join("\n\n");
      blocks.append(block("The original work", entries));
    }
    said.textContent = "";
    dialog.showModal();
    dialog.scrollTop = 0;
  };

  // A click beside the dialog closes it, as Escape does.
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });

  for (const part of parts) {
    const element = document.getElementById(part.at);
    if (!element) continue;
    const button = make("button", { type: "button", className: "cite-button", textContent: "cite" });
    button.setAttribute("aria-label", `cite: ${part.title}`);
    button.setAttribute("aria-haspopup", "dialog");
    button.addEventListener("click", () => open(part));
    const heading = element.querySelector(":scope > :is(h1, h2, h3, h4)");
    const inside = element.matches("tr")
      ? element.querySelector(".claim-id")?.parentElement
      : element.querySelector(
          ":scope > figcaption > p:last-of-type, :scope > p.admonition-title, caption",
        );
    if (heading) heading.after(button);
    else if (inside) inside.append(" ", button);
    else {
      const line = make("p", { className: "cite-table" }, button);
      button.textContent = element.matches(".math") ? "cite this equation" : "cite this table";
      (element.closest(".scrolls") ?? element).after(line);
    }
  }
})();
