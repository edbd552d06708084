// The page of maps: choices, search, lasso, selection, list; all that the pointer and the keys do.
"use strict";

const part = (id) => document.getElementById(id);
const ROWS = 50;
const state = { summary: null, plates: null, small: null, map: null, whole: null, view: null, texts: [], schemes: [], level: 0, listed: ROWS, matching: 0 };

async function start() {
  const [summary, plates, small] = await Promise.all([atlas.load("atlas"), atlas.plates(), atlas.sprites()]);
  Object.assign(state, { summary, plates, small });
  if (summary.maps.length === 0) {
    part("content").className = "page";
    part("content").replaceChildren(
      atlas.el("h1", {}, "Map"),
      atlas.el("p", {}, "There is no clustering in these ledgers, so there is no map. The plates are listed under Plates."),
    );
    return;
  }
  part("which").replaceChildren(
    ...summary.maps.map((one, at) => {
      const alone = summary.maps.filter((other) => other.kind === one.kind).length === 1;
      return atlas.el("option", { value: at }, `${atlas.whole(one.points)} ${atlas.kinds[one.kind]}${alone ? "" : ` (${one.variant})`}`);
    }),
  );
  part("map-choice").hidden = summary.maps.length < 2;
  listen();
  await open();
}

async function open() {
  const [, number, cluster] = /^#(\d+)(?:\/(cluster-[0-9a-z]+))?$/.exec(location.hash) || [null, "0", undefined];
  const chosen = Math.min(Number(number), state.summary.maps.length - 1);
  part("which").value = chosen;
  state.whole = await atlas.map(chosen);
  state.map = placed();
  const { map, plates } = state;
  state.schemes = atlas.schemes(map, plates);
  state.texts = Array.from({ length: map.count }, (_, at) => `${plates.titles[map.plates[at]]} ${atlas.plateOf(map, plates, at)} ${map.subjects ? map.subjects[at] : ""}`.toLowerCase());
  if (state.view) state.view.show(map);
  else state.view = new View(part("canvas"), map, state.small);
  part("canvas").setAttribute("aria-label", `Map of ${atlas.whole(map.count)} ${atlas.kinds[map.kind]}`);
  part("level").replaceChildren(...map.levels.map((level, at) => atlas.el("option", { value: at }, `${level}${at === 0 && map.levels.length > 1 ? " (coarsest)" : ""}`)));
  part("level-choice").hidden = map.levels.length < 2;
  part("scheme").replaceChildren(atlas.el("option", { value: "" }, "any"), ...state.schemes.map((one, at) => atlas.el("option", { value: at }, one.name)));
  part("scheme-choice").hidden = state.schemes.length === 0;
  part("words").value = "";
  offerValues();
  const wanted = map.clusters.findIndex((one) => one.id === cluster);
  part("level").value = wanted < 0 ? 0 : map.levels.indexOf(map.clusters[wanted].level);
  offerClusters();
  if (wanted >= 0) part("cluster").value = wanted;
  state.view.named = part("names").checked;
  state.view.pictures = part("thumbs").checked;
  choose();
  selectionChanged();
}

// The map with the places of its points as they are, or with islands nearer to each other.
function placed() {
  const map = state.whole;
  return part("even").checked && map.count ? { ...map, x: evened(map.x), y: evened(map.y) } : map;
}

function placeAnew() {
  const selected = state.view.selected;
  state.map = placed();
  state.view.show(state.map);
  state.view.selected = selected;
  state.view.named = part("names").checked;
  state.view.pictures = part("thumbs").checked;
  choose();
}

function offerClusters() {
  const level = state.map.levels[Number(part("level").value)];
  const options = state.map.clusters.map((one, at) => [one, at]).filter(([one]) => one.level === level);
  part("cluster").replaceChildren(
    atlas.el("option", { value: "" }, "any"),
    ...options.map(([one, at]) => atlas.el("option", { value: at }, `${one.title} (${atlas.whole(one.size)})`)),
    atlas.el("option", { value: -1 }, "in no cluster"),
  );
}

function offerValues() {
  const scheme = part("scheme").value;
  part("value-choice").hidden = scheme === "";
  if (scheme === "") return;
  part("value").replaceChildren(
    atlas.el("option", { value: "" }, "any"),
    ...state.schemes[Number(scheme)].values.map((value, code) => atlas.el("option", { value: code }, value)),
  );
}

// Which points are shown, from all choices; then the map, the count and the list.
function choose() {
  const { map, view } = state;
  const words = part("words").value.trim().toLowerCase();
  const scheme = part("scheme").value === "" || part("value").value === "" ? null : state.schemes[Number(part("scheme").value)];
  const code = Number(part("value").value);
  const cluster = part("cluster").value === "" ? null : Number(part("cluster").value);
  const noise = part("noise").checked;
  state.level = Number(part("level").value);
  const members = map.members[state.level];
  const shown = new Uint8Array(map.count);
  let count = 0, loose = 0;
  for (let at = 0; at < map.count; at++) {
    if (cluster !== null && members[at] !== cluster) continue;
    if (!noise && members[at] < 0) continue;
    if (scheme && !scheme.codesOf(at).includes(code)) continue;
    if (words && !state.texts[at].includes(words)) continue;
    shown[at] = 1;
    count++;
    if (members[at] < 0) loose++;
  }
  state.matching = count;
  view.point = -1;
  hideCard();
  view.paint(state.level, shown);
  part("count").textContent = `${atlas.whole(count)} of ${atlas.whole(map.count)} ${atlas.kinds[map.kind]} shown, ${atlas.whole(loose)} of them in no cluster.`;
  state.listed = ROWS;
  list();
}

// The table: what the map shows, for those who read it. The selection where there is one.
function list() {
  const { map, view, plates, small } = state;
  const selected = chosenPoints();
  const rows = [];
  part("listed").textContent = selected.length ? "Points selected" : "Points shown";
  const source = selected.length ? selected : view.shown;
  const total = selected.length || state.matching;
  const add = (at) => {
    const title = plates.titles[map.plates[at]];
    const cluster = map.members[state.level][at];
    const link = atlas.el("a", { href: atlas.linkOf(map, plates, at) }, title);
    rows.push(
      atlas.el("tr", { onmouseenter: () => mark(at), onfocusin: () => mark(at) },
        atlas.el("td", {}, atlas.picture(small, map.sprites[at], title, plates.missing[map.plates[at]])),
        atlas.el("td", {}, link, atlas.el("br"), atlas.el("span", { class: "small" }, atlas.subjectOf(map, plates, at))),
        atlas.el("td", {}, cluster < 0 ? "none" : atlas.el("a", { href: atlas.clusterLink(map.number, map.clusters[cluster].id) }, map.clusters[cluster].title)),
      ),
    );
  };
  if (selected.length) selected.slice(0, state.listed).forEach(add);
  else for (let at = 0; at < map.count && rows.length < state.listed; at++) if (source[at]) add(at);
  const head = atlas.el("tr", {}, ...["Picture", "Title", "Cluster"].map((one) => atlas.el("th", { scope: "col" }, one)));
  const table = atlas.el("table", {}, atlas.el("thead", {}, head), atlas.el("tbody", {}, ...rows));
  const more = rows.length < total ? atlas.el("button", { onclick: () => { state.listed += 4 * ROWS; list(); } }, `Show more (${atlas.whole(total - rows.length)})`) : null;
  part("list").replaceChildren(total ? table : atlas.el("p", {}, "No point meets these choices."), ...(more ? [more] : []));
}

function mark(at) {
  state.view.point = at;
  state.view.later();
}

function chosenPoints() {
  const found = [];
  state.view.selected.forEach((one, at) => { if (one) found.push(at); });
  return found;
}

function select(points, on = true) {
  for (const at of points) state.view.selected[at] = on ? 1 : 0;
  selectionChanged();
}

function selectionChanged() {
  const count = chosenPoints().length;
  part("chosen").textContent = count ? `${atlas.whole(count)} selected.` : "Nothing is selected.";
  part("save").disabled = part("clear").disabled = count === 0;
  state.view.paint(state.level, state.view.shown);
  state.listed = ROWS;
  list();
}

function clear() {
  state.view.selected.fill(0);
  selectionChanged();
}

// Ids alone, which are safe in every spreadsheet: titles are not in it.
function save() {
  const { map, plates } = state;
  const lines = chosenPoints().map((at) => {
    const cluster = map.members[state.level][at];
    return [atlas.subjectOf(map, plates, at), atlas.plateOf(map, plates, at), cluster < 0 ? "" : map.clusters[cluster].id].join(",");
  });
  const text = ["subject_id,plate_id,cluster_id", ...lines, ""].join("\r\n");
  const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  const link = atlas.el("a", { href: address, download: "selection.csv" });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(address), 60000);
}

function showCard(at, pinned) {
  const { map, plates, small, view } = state;
  const card = part("card");
  const title = plates.titles[map.plates[at]];
  const lines = map.levels.map((level, depth) => {
    const cluster = map.members[depth][at], near = map.nearest[depth] ? map.nearest[depth][at] : -1;
    const named = cluster >= 0 ? map.clusters[cluster].title : near >= 0 ? `no cluster; nearest is ${map.clusters[near].title}` : "no cluster";
    return atlas.el("div", { class: "small" }, map.levels.length > 1 ? `Level ${level}: ${named}` : named);
  });
  const said = state.schemes.slice(0, 6).flatMap((one) => {
    const values = one.codesOf(at).map((code) => one.values[code]).join(", ");
    return values ? [atlas.el("div", { class: "small" }, `${one.name}: ${values}`)] : [];
  });
  card.replaceChildren(
    atlas.picture(small, map.sprites[at], title, plates.missing[map.plates[at]]),
    atlas.el("div", {}, atlas.el("strong", {}, title), atlas.el("div", { class: "small" }, atlas.subjectOf(map, plates, at)), ...lines, ...said,
      pinned ? atlas.el("a", { href: atlas.linkOf(map, plates, at) }, "Open the plate") : null),
  );
  card.hidden = false;
  card.classList.toggle("pinned", pinned);
  const across = view.across(map.x[at]) + view.size / 2 + 12, down = view.down(map.y[at]) - 20;
  const turned = across + card.offsetWidth > view.width - 8 ? view.across(map.x[at]) - view.size / 2 - 12 - card.offsetWidth : across;
  card.style.left = `${Math.max(8, Math.min(turned, view.width - card.offsetWidth - 8))}px`;
  card.style.top = `${Math.max(8, Math.min(down, view.height - card.offsetHeight - 8))}px`;
  mark(at);
}

function hideCard() {
  part("card").hidden = true;
  if (state.view.point >= 0) mark(-1);
}

// To the next or former point that can be seen, from top left to bottom right.
function step(by) {
  const { view, map } = state;
  const seen = (view.visible(5000) || []).sort((one, two) => map.y[two] - map.y[one] || map.x[one] - map.x[two]);
  if (seen.length === 0) {
    part("chosen").textContent = "Zoom in or choose fewer points to go from point to point.";
    return;
  }
  const place = seen.indexOf(view.point);
  const next = seen[place < 0 ? (by > 0 ? 0 : seen.length - 1) : (place + by + seen.length) % seen.length];
  showCard(next, true);
  part("chosen").textContent = `${state.plates.titles[map.plates[next]]}, ${atlas.subjectOf(map, state.plates, next)}.`;
}

function draw(on) {
  part("lasso").setAttribute("aria-pressed", String(on));
  part("canvas").classList.toggle("drawing", on);
  if (!on) state.view.lasso = null;
  state.view.later();
}

const drawing = () => part("lasso").getAttribute("aria-pressed") === "true";

const KEYS = {
  ArrowLeft: () => state.view.move(60, 0),
  ArrowRight: () => state.view.move(-60, 0),
  ArrowUp: () => state.view.move(0, 60),
  ArrowDown: () => state.view.move(0, -60),
  "+": () => state.view.zoom(1.4),
  "=": () => state.view.zoom(1.4),
  "-": () => state.view.zoom(1 / 1.4),
  0: () => state.view.fit(),
  n: () => step(1),
  p: () => step(-1),
  l: () => draw(!drawing()),
  Escape: () => { draw(false); hideCard(); },
  " ": () => { if (state.view.point >= 0) select([state.view.point], !state.view.selected[state.view.point]); },
  Enter: () => { if (state.view.point >= 0) location.href = atlas.linkOf(state.map, state.plates, state.view.point); },
};

function listen() {
  const canvas = part("canvas");
  for (const id of ["cluster", "value", "noise"]) part(id).addEventListener("change", choose);
  part("choices").addEventListener("submit", (event) => event.preventDefault());
  part("words").addEventListener("input", choose);
  part("level").addEventListener("change", () => { offerClusters(); choose(); });
  part("scheme").addEventListener("change", () => { offerValues(); choose(); });
  part("which").addEventListener("change", () => { location.hash = part("which").value; });
  part("names").addEventListener("change", () => { state.view.named = part("names").checked; state.view.later(); });
  part("thumbs").addEventListener("change", () => { state.view.pictures = part("thumbs").checked; state.view.later(); });
  part("even").addEventListener("change", placeAnew);
  part("closer").addEventListener("click", () => state.view.zoom(1.4));
  part("farther").addEventListener("click", () => state.view.zoom(1 / 1.4));
  part("fit").addEventListener("click", () => state.view.fit());
  part("lasso").addEventListener("click", () => draw(!drawing()));
  part("take").addEventListener("click", () => select(Array.from(state.map.x.keys()).filter((at) => state.view.shown[at])));
  part("save").addEventListener("click", save);
  part("clear").addEventListener("click", clear);
  window.addEventListener("hashchange", () => { if (location.hash !== "#content") open().catch(atlas.complain); });
  new ResizeObserver(() => { if (state.view) state.view.resize(); }).observe(part("stage"));
  canvas.addEventListener("keydown", (event) => {
    const act = event.ctrlKey || event.metaKey || event.altKey ? null : KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    hideCard();
    state.view.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), event.offsetX, event.offsetY);
  }, { passive: false });
  canvas.addEventListener("dblclick", () => KEYS.Enter());
  pointers(canvas);
}

// One pointer moves the map or draws the lasso, two zoom it; without a button it looks.
function pointers(canvas) {
  const down = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, [event.offsetX, event.offsetY]);
    moved = 0;
    if ((drawing() || event.shiftKey) && down.size === 1) state.view.lasso = [[event.offsetX, event.offsetY]];
  });
  canvas.addEventListener("pointermove", (event) => {
    const { view } = state;
    const here = [event.offsetX, event.offsetY];
    const before = down.get(event.pointerId);
    if (!before) {
      const at = view.at(...here);
      if (at >= 0) showCard(at, false);
      else if (!part("card").classList.contains("pinned")) hideCard();
      return;
    }
    moved += Math.hypot(here[0] - before[0], here[1] - before[1]);
    if (view.lasso) view.lasso.push(here);
    else if (down.size === 2) {
      const [other] = [...down].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      const reach = (one) => Math.hypot(one[0] - other[0], one[1] - other[1]) || 1;
      view.zoom(reach(here) / reach(before), other[0], other[1]);
    } else if (moved > 3) {
      view.move(here[0] - before[0], here[1] - before[1]);
      hideCard();
    }
    down.set(event.pointerId, here);
    view.later();
  });
  const up = (event) => {
    if (!down.delete(event.pointerId)) return;
    const { view } = state;
    if (view.lasso) {
      if (event.type === "pointerup" && view.lasso.length > 2) select(view.within(view.lasso));
      draw(false);
    } else if (moved <= 3 && event.type === "pointerup") {
      const at = view.at(event.offsetX, event.offsetY);
      if (at >= 0) showCard(at, true);
      else { part("card").classList.remove("pinned"); hideCard(); }
    }
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => {
    if (!part("card").classList.contains("pinned")) hideCard();
  });
}

start().catch(atlas.complain);
