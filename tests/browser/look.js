// What tests ask of a page of the site: `evaluate` gets one of these functions.
{
  // What axe-core finds that is serious.
  axe: async () => (await axe.run(document, {resultTypes: ["violations"]})).violations
    .filter(found => ["serious", "critical"].includes(found.impact))
    .map(found => `${found.id}: ${found.nodes[0].html.slice(0, 200)}`),

  // By how many pixels the page is wider than the screen.
  wider: () => new Promise(done => requestAnimationFrame(() => {
    const { scrollWidth, clientWidth } = document.documentElement;
    done(scrollWidth - clientWidth);
  })),

  // Contrasts of elements with what lies behind them.
  contrasts: selector => {
    // Relative luminance and contrast as in WCAG 2.
    const channels = text => text.match(/[\d.]+/g).map(Number);
    const luminance = ([r, g, b]) => {
      const part = v => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4;
      return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
    };
    const background = element => {
      for (; element; element = element.parentElement) {
        const found = channels(getComputedStyle(element).backgroundColor);
        if (found.length === 3 || found[3] === 1) return found;
      }
      return [255, 255, 255];
    };
    return Array.from(document.querySelectorAll(selector)).map(element => {
      const pair = [channels(getComputedStyle(element).color), background(element)].map(luminance);
      return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
    });
  },

  // What is to be seen on a page: alternative texts and widths of images, formulas that are not
  // set, levels of headings, ids that stand more than once; and what can be cited: entries, anchors
  // that are not on the page, buttons, and how many sections, figures, tables and theorems there are.
  look: async () => {
    const all = selector => Array.from(document.querySelectorAll(selector));
    const ids = all("[id]").map(element => element.id);
    const source = document.querySelector("#citations")?.textContent;
    const cited = source ? JSON.parse(source).parts : [];
    return {
      theme: document.documentElement.dataset.theme,
      images: await Promise.all(all("img").map(async image => {
        await image.decode();
        return [image.getAttribute("alt") || "", image.naturalWidth];
      })),
      formulas: all("mjx-container").length,
      bad_formulas: all(
        "mjx-merror, [data-mjx-error], span.math:not(:has(mjx-container))"
      ).map(element => element.outerHTML.slice(0, 200)),
      tables: all("table.sanitygap-table").map(table => table.innerText),
      headings: all("article :is(h1, h2, h3, h4, h5, h6)")
        .filter(heading => heading.offsetParent)
        .map(heading => Number(heading.tagName[1])),
      twice: ids.filter((id, at) => ids.indexOf(id) !== at),
      entries: cited.map(part => part.bibtex),
      lost: cited.filter(part => part.anchor && !ids.includes(part.anchor)).map(part => part.anchor),
      buttons: all(".cite-button").length,
      citable: all(`article :is(section:has(> :is(h1, h2, h3)), figure[id]:has(figcaption),
        .citable-table, div.proof.theorem)`).length,
    };
  },

  // The element that has the focus, if that cannot be seen.
  focus: () => {
    const element = document.activeElement, style = getComputedStyle(element);
    const outline = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    return element === document.body || outline || style.boxShadow !== "none"
      ? null : element.outerHTML.slice(0, 200);
  },

  // Which picture a panel shows: its method, what is clipped, where its strip stands.
  strip: panel => Array.from(panel.querySelectorAll("img"))
    .filter(image => image.checkVisibility())
    .map(image => [image.dataset.method, image.style.clipPath,
                   Math.round(image.getBoundingClientRect().x - panel.getBoundingClientRect().x)]),

  // Which picture of the gallery a panel shows: its image, its method, its place in the strip.
  place: panel => Array.from(panel.querySelectorAll("img"))
    .filter(image => image.checkVisibility())
    .map(image => {
      const strip = image.getBoundingClientRect(), own = panel.getBoundingClientRect();
      return [image.dataset.image, image.dataset.method, Math.round((own.x - strip.x) / own.width)];
    }),

  // Image and order of a table, and its rows: name of the network, place, numbers.
  rows: table => [table.dataset.image, table.dataset.order, Array.from(table.tBodies[0].rows, row =>
    [row.cells[0].textContent, row.dataset.place,
     ...Array.from(row.cells).slice(1).map(cell => cell.textContent)])],
}
