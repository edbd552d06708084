// Puts the picture of its representative to each cluster on the overview.
"use strict";

async function start() {
  const places = [...document.querySelectorAll("li[data-medoid]")];
  if (places.length === 0) return;
  const [plates, small] = await Promise.all([atlas.plates(), atlas.sprites()]);
  for (const number of new Set(places.map((one) => one.dataset.map))) {
    const map = await atlas.map(Number(number));
    for (const one of places.filter((place) => place.dataset.map === number)) {
      const at = Number(one.dataset.medoid), plate = map.plates[at];
      one.firstElementChild.prepend(atlas.picture(small, map.sprites[at], plates.titles[plate], plates.missing[plate]));
    }
  }
}

start().catch((error) => document.getElementById("content").prepend(atlas.el("p", { class: "note" }, error.message)));
