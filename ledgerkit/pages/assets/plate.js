// The page of one plate: plate.html#plate-001, or #plate-001/SEGMENT-ID to look at a part of it.
"use strict";

const PER_FILE = 20; // as in plates.py
const MOST_SEGMENTS = 300;
let viewer = null;

async function show() {
  const [, id, digits, part] = /^#(plate-(\d{3,}))(?:\/([a-z]+-[0-9a-z]+))?$/.exec(location.hash) || [];
  if (id === undefined) throw new Error("the address names no plate; choose one under Plates");
  const [summary, plates, small, file] = await Promise.all([
    atlas.load("atlas"), atlas.plates(), atlas.sprites(),
    atlas.load(`plates/${Math.floor(Number(digits) / PER_FILE)}`).catch(() => []),
  ]);
  const plate = file.find((one) => one.id === id);
  if (!plate) throw new Error(`there is no ${id} in this atlas`);
  document.title = `${plate.title} – Atlas`;
  if (viewer) viewer.close();
  viewer = null;
  const stage = atlas.el("div", { id: "viewer" });
  const side = atlas.el("div", { id: "side" });
  document.getElementById("content").replaceChildren(
    atlas.el("h1", {}, plate.title, " ", atlas.el("span", { class: "small" }, plate.id)),
    steps(plate, plates),
    ...plate.notes.map((one) => atlas.el("p", { class: "note" }, one)),
    atlas.el("div", { id: "looking" }, stage, side),
    labels(plate, plates),
    clusters(summary, plate.maps, "Clusters of the plate"),
    neighbours(plate, plates, small),
    ...figures(plate),
    runs(plate),
  );
  if (plate.zoom || plate.whole) {
    viewer = new Viewer(stage, plate);
    stage.append(tools());
  } else stage.append(atlas.picture(small, plates.sprites[plate.place], plate.title, plates.missing[plate.place]));
  side.append(...segments(plate, summary, part));
  const named = document.getElementById(part || "");
  if (named) side.scrollTop = named.offsetTop - side.offsetTop;
}

function steps(plate, plates) {
  const link = (at, text) => at >= 0 && at < plates.count ? atlas.el("a", { href: `plate.html#${atlas.plateId(plates.numbers[at])}` }, text) : null;
  return atlas.el("p", { class: "steps" }, link(plate.place - 1, "Former plate"), " ", link(plate.place + 1, "Next plate"));
}

function tools() {
  const button = (text, label, act) => atlas.el("button", { "aria-label": label, title: label, onclick: act }, text);
  return atlas.el("div", { class: "tools", role: "toolbar", "aria-label": "Zoom" },
    button("+", "Zoom in", () => viewer.zoom(1.5)), button("−", "Zoom out", () => viewer.zoom(1 / 1.5)), button("All", "Show the whole plate", () => viewer.fit()));
}

// Outlines over the plate, switched by kind, and a list of them.
function segments(plate, summary, wanted) {
  if (plate.segments.length === 0) return [atlas.el("p", {}, "No segments of this plate are recorded.")];
  const kinds = [...new Set(plate.segments.map((one) => one.kind))].sort();
  const paths = new Map();
  if (viewer) for (const one of plate.segments) paths.set(one.id, viewer.outline(one));
  const list = atlas.el("ul", { class: "segments" });
  const hidden = new Set(["paper", "background"]);
  const mark = (id) => paths.forEach((path, other) => path.classList.toggle("marked", other === id));
  const apply = () => {
    for (const one of plate.segments) if (paths.has(one.id)) paths.get(one.id).style.display = hidden.has(one.kind) ? "none" : "";
    const shown = plate.segments.filter((one) => !hidden.has(one.kind));
    list.replaceChildren(...shown.slice(0, MOST_SEGMENTS).map((one) => line(one, summary, mark)));
    if (shown.length > MOST_SEGMENTS) list.append(atlas.el("li", {}, `and ${atlas.whole(shown.length - MOST_SEGMENTS)} smaller ones`));
  };
  const ticks = kinds.map((kind) => {
    const count = plate.segments.filter((one) => one.kind === kind).length;
    const box = atlas.el("input", { type: "checkbox", value: kind, checked: !hidden.has(kind), onchange: (event) => {
      if (event.target.checked) hidden.delete(kind);
      else hidden.add(kind);
      apply();
    } });
    return atlas.el("label", { class: "tick" }, box, atlas.el("span", { class: `key kind-${kind}`, "aria-hidden": "true" }), `${kind} (${count})`);
  });
  const chosen = plate.segments.find((one) => one.id === wanted);
  if (chosen) hidden.delete(chosen.kind);
  apply();
  if (chosen) {
    mark(chosen.id);
    if (viewer) viewer.look(chosen.box);
  }
  return [atlas.el("h2", {}, "Segments"), atlas.el("fieldset", {}, atlas.el("legend", {}, "Shown"), ...ticks), list];
}

function line(one, summary, mark) {
  const name = `${one.kind}, ${one.box[2] - one.box[0]} × ${one.box[3] - one.box[1]} pixels`;
  const named = one.maps.flatMap(([map, ...found]) => found.filter((at) => at >= 0).slice(0, 1).map((at) => [map, summary.maps[map].clusters[at]]));
  return atlas.el("li", { id: one.id, onmouseenter: () => mark(one.id), onfocusin: () => mark(one.id) },
    atlas.el("button", { class: "plain", onclick: () => { mark(one.id); if (viewer) viewer.look(one.box); } }, name),
    ...named.map(([map, [id, title]]) => atlas.el("a", { class: "small", href: atlas.clusterLink(map, id) }, title)),
    atlas.el("span", { class: "small id" }, one.id));
}

function labels(plate, plates) {
  const parts = [];
  const add = (name, value) => parts.push(atlas.el("dt", {}, name), atlas.el("dd", {}, String(value)));
  for (const one of plates.labels) {
    const said = one.codes(plate.place).map((code) => one.values[code]);
    if (said.length) add(one.name, said.join(", "));
  }
  for (const [name, value] of plate.facts) add(name, value);
  return atlas.el("section", {}, atlas.el("h2", {}, "Facts"), atlas.el("dl", { class: "facts" }, ...parts));
}

function clusters(summary, found, title) {
  const lines = found.flatMap(([map, ...levels]) => levels.map((at, depth) => {
    const one = summary.maps[map], level = one.levels.length > 1 ? `, level ${one.levels[depth]}` : "";
    const where = `Map of ${atlas.kinds[one.kind]} (${one.variant})${level}: `;
    return atlas.el("li", {}, where, at < 0 ? "in no cluster" : atlas.el("a", { href: atlas.clusterLink(map, one.clusters[at][0]) }, one.clusters[at][1]));
  }));
  return atlas.el("section", {}, atlas.el("h2", {}, title), lines.length ? atlas.el("ul", {}, ...lines) : atlas.el("p", {}, "The plate as a whole is on no map."));
}

function neighbours(plate, plates, small) {
  const spaces = plate.near.map(({ space, of }) => atlas.el("div", {}, atlas.el("h3", {}, `In the space ${space}`),
    atlas.el("ul", { class: "grid" }, ...of.map(([at, cosine]) => atlas.el("li", {},
      atlas.el("a", { href: `plate.html#${atlas.plateId(plates.numbers[at])}` },
        atlas.picture(small, plates.sprites[at], plates.titles[at], plates.missing[at]), atlas.el("span", {}, plates.titles[at])),
      atlas.el("span", { class: "small" }, `cosine ${cosine.toFixed(3)}`))))));
  return atlas.el("section", {}, atlas.el("h2", {}, "Most alike"), ...(spaces.length ? spaces : [atlas.el("p", {}, "No neighbours of this plate are recorded here.")]));
}

// Pictures that runs drew of this plate alone.
function figures(plate) {
  if (plate.figures.length === 0) return [];
  const said = (title, text) => (text ? atlas.el("p", {}, atlas.el("strong", {}, `${title}: `), text) : null);
  return [atlas.el("section", {}, atlas.el("h2", {}, "Figures"), ...plate.figures.map((one) => atlas.el("figure", {},
    atlas.el("h3", {}, one.title),
    one.file ? atlas.el("a", { href: one.file }, atlas.el("img", { src: one.file, alt: one.title, loading: "lazy" })) : atlas.el("p", { class: "no-picture" }, one.missing),
    said("Interpretation", one.interpretation), said("Warning signs", one.warning_signs),
    atlas.el("figcaption", {}, `${one.run}, SHA-256 ${one.sha256}`))))];
}

// Every run about the plate, oldest first: what it read, by whom that was made, and what it made.
function runs(plate) {
  const rows = plate.runs.map((one) => atlas.el("tr", { id: one.run_id },
    atlas.el("td", {}, atlas.el("strong", {}, `${one.operation} ${one.version}`), atlas.el("div", { class: "small" }, one.run_id), one.person ? atlas.el("div", { class: "small" }, `by ${one.person}`) : null),
    atlas.el("td", {}, one.status, one.current ? "" : ", not current", one.failure ? atlas.el("div", { class: "small" }, one.failure) : null, atlas.el("div", { class: "small" }, `${one.started} UTC`), atlas.el("div", { class: "small" }, one.variant)),
    atlas.el("td", {}, files(one.input)), atlas.el("td", {}, files(one.output))));
  const head = atlas.el("tr", {}, ...["Run", "Outcome", "Read", "Made"].map((one) => atlas.el("th", { scope: "col" }, one)));
  const together = plate.together.map((one) => atlas.el("li", {}, `${one.operation} (${one.variant}) `, atlas.el("span", { class: "small" }, one.run_id), one.current ? "" : ", not current"));
  return atlas.el("section", {}, atlas.el("h2", {}, "Runs and lineage"),
    rows.length ? atlas.el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Runs of the plate" }, atlas.el("table", { class: "runs" }, atlas.el("thead", {}, head), atlas.el("tbody", {}, ...rows))) : atlas.el("p", {}, "Nothing has run on this plate yet."),
    together.length ? atlas.el("h3", {}, "Runs over the collection that read it") : null,
    together.length ? atlas.el("ul", {}, ...together) : null);
}

function files(list) {
  const lines = list.map((one) => atlas.el("li", { title: `${one.path}\nSHA-256 ${one.sha256}` },
    `${one.role}: ${one.path.split("/").pop()} `, atlas.el("span", { class: "small" }, `${one.sha256.slice(0, 12)}…`),
    one.made_by ? atlas.el("div", { class: "small" }, `by ${one.made_by}`) : null));
  const rest = list.length ? list[0].files - list.length : 0;
  return atlas.el("ul", { class: "files" }, ...lines, rest > 0 ? atlas.el("li", {}, `and ${atlas.whole(rest)} more files, listed in its record`) : null);
}

atlas.page(show);
