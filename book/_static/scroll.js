// What is wider than the screen scrolls in a box of its own; the keyboard can reach it then.
(() => {
  const boxes = ".cell_output .text_html, .scrolls, .bd-article figure, div.math, .highlight pre, pre";
  const label = (box) =>
    box.querySelector("caption, figcaption .caption-text")?.textContent.trim().slice(0, 80) ??
    (box.matches("pre") ? "Code" : "Wide content");

  const mark = () => {
    for (const box of document.querySelectorAll(`.bd-article :is(${boxes})`)) {
      const wide = box.scrollWidth > box.clientWidth && getComputedStyle(box).overflowX !== "visible";
      if (wide === (box.tabIndex === 0)) continue;
      if (wide) {
        box.tabIndex = 0;
        box.setAttribute("role", box.matches("figure") ? "figure" : "region");
        box.setAttribute("aria-label", `${label(box)} (scrolls)`);
      } else {
        for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
      }
    }
  };

  addEventListener("load", mark);
  addEventListener("resize", mark);
})();
