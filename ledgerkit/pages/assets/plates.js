// The list of all plates, with a search by title and number.
"use strict";

const AT_ONCE = 120;

async function start() {
  const [plates, small] = await Promise.all([atlas.plates(), atlas.sprites()]);
  const words = document.getElementById("words"), list = document.getElementById("list");
  const texts = plates.titles.map((title, at) => `${title} ${atlas.plateId(plates.numbers[at])}`.toLowerCase());
  let most = AT_ONCE;
  const draw = () => {
    const wanted = words.value.trim().toLowerCase();
    const found = [];
    texts.forEach((text, at) => { if (text.includes(wanted)) found.push(at); });
    document.getElementById("count").textContent = `${atlas.whole(found.length)} of ${atlas.whole(plates.count)} plates.`;
    const items = found.slice(0, most).map((at) => atlas.el("li", {},
      atlas.el("a", { href: `plate.html#${atlas.plateId(plates.numbers[at])}` },
        atlas.picture(small, plates.sprites[at], plates.titles[at], plates.missing[at]),
        atlas.el("span", {}, plates.titles[at])),
      atlas.el("span", { class: "small" }, atlas.plateId(plates.numbers[at]))));
    const more = found.length > most ? [atlas.el("button", { onclick: () => { most += AT_ONCE; draw(); } }, `Show more (${atlas.whole(found.length - most)})`)] : [];
    list.replaceChildren(atlas.el("ul", { class: "grid" }, ...items), ...more);
  };
  words.addEventListener("input", () => { most = AT_ONCE; draw(); });
  document.getElementById("find").addEventListener("submit", (event) => event.preventDefault());
  draw();
}

start().catch(atlas.complain);
