// The page of one cluster: cluster.html#MAP/CLUSTER-ID.
"use strict";

const AT_ONCE = 200;
const MOST_VALUES = 12;

async function show() {
  const [, number, id] = /^#(\d+)\/(cluster-[0-9a-z]+)$/.exec(location.hash) || [];
  if (id === undefined) throw new Error("the address names no cluster; choose one on the overview");
  const summary = await atlas.load("atlas");
  if (Number(number) >= summary.maps.length) throw new Error(`there is no map ${number}`);
  const [plates, small, map] = await Promise.all([atlas.plates(), atlas.sprites(), atlas.map(Number(number))]);
  const cluster = map.clusters.findIndex((one) => one.id === id);
  if (cluster < 0) throw new Error(`there is no ${id} on this map`);
  const main = document.getElementById("content");
  const one = map.clusters[cluster];
  document.title = `${one.title} – Atlas`;
  const members = membersOf(map, cluster);
  main.replaceChildren(
    atlas.el("h1", {}, one.title),
    facts(map, one),
    atlas.el("section", {}, atlas.el("h2", {}, "Members"), atlas.el("p", {}, `${atlas.whole(members.length)} ${atlas.kinds[map.kind]}, the strongest members first.`), grid(map, plates, small, members, one)),
    related(map, cluster, small, plates),
    composition(map, plates, members),
  );
}

// Members of a cluster: its representative, then by falling strength of membership.
function membersOf(map, cluster) {
  const one = map.clusters[cluster];
  const line = map.members[map.levels.indexOf(one.level)];
  const found = [];
  line.forEach((value, at) => { if (value === cluster) found.push(at); });
  return found.sort((first, second) => (second === one.representative) - (first === one.representative) || map.probability[second] - map.probability[first] || first - second);
}

function facts(map, one) {
  const parts = [];
  const add = (name, value) => { if (value !== null && value !== undefined && value !== "") parts.push(atlas.el("dt", {}, name), atlas.el("dd", {}, value)); };
  add("Named by", { person: one.by ? `a person, ${one.by}` : "a person", model: "a language model", rule: "rule" }[one.source]);
  if (one.ruled !== one.title) add("Name by rule", one.ruled);
  add("Description", one.description);
  add("Category", one.category);
  add("Strength", one.strength);
  add("Members", atlas.whole(one.size));
  if (map.levels.length > 1) add("Level", `${one.level} of ${map.levels.length}`);
  if (one.parent >= 0) add("Part of", atlas.el("a", { href: atlas.clusterLink(map.number, map.clusters[one.parent].id) }, map.clusters[one.parent].title));
  if (one.persistence !== null && one.persistence !== undefined) add("Persistence", one.persistence.toFixed(3));
  add("Identity", atlas.el("code", {}, one.id));
  add("Run", atlas.el("code", {}, map.run));
  add("On the map", atlas.el("a", { href: `map.html#${map.number}/${one.id}` }, "Show its members"));
  return atlas.el("dl", { class: "facts" }, ...parts);
}

function grid(map, plates, small, members, one) {
  const list = atlas.el("ul", { class: "grid" });
  const more = atlas.el("button", {}, "");
  let shown = 0;
  const add = () => {
    for (const at of members.slice(shown, shown + AT_ONCE)) list.append(member(map, plates, small, at, at === one.representative));
    shown = Math.min(members.length, shown + AT_ONCE);
    more.hidden = shown === members.length;
    more.textContent = `Show more (${atlas.whole(members.length - shown)})`;
  };
  more.addEventListener("click", add);
  add();
  return atlas.el("div", {}, list, more);
}

function member(map, plates, small, at, representative) {
  const title = plates.titles[map.plates[at]];
  return atlas.el("li", { class: representative ? "representative" : null },
    atlas.el("a", { href: atlas.linkOf(map, plates, at) },
      atlas.picture(small, map.sprites[at], title, plates.missing[map.plates[at]]),
      atlas.el("span", {}, title)),
    atlas.el("span", { class: "small" }, atlas.plateOf(map, plates, at)),
    representative ? atlas.el("strong", { class: "small" }, "representative") : null);
}

function related(map, cluster, small, plates) {
  const one = map.clusters[cluster];
  const line = (other, text) => {
    const next = map.clusters[other];
    return atlas.el("li", {},
      atlas.el("a", { href: atlas.clusterLink(map.number, next.id) },
        next.representative < 0 ? null : atlas.picture(small, map.sprites[next.representative], next.title, plates.missing[map.plates[next.representative]]),
        atlas.el("span", {}, next.title)),
      atlas.el("span", { class: "small" }, text));
  };
  const within = map.clusters.flatMap((other, at) => (other.parent === cluster ? [line(at, `${atlas.whole(other.size)} members`)] : []));
  return atlas.el("section", {},
    within.length ? atlas.el("h2", {}, "Clusters within it") : null,
    within.length ? atlas.el("ul", { class: "grid" }, ...within) : null,
    atlas.el("h2", {}, "Nearest clusters"),
    one.near.length
      ? atlas.el("ul", { class: "grid" }, ...one.near.map(([other, cosine]) => line(other, `cosine of centroids ${cosine.toFixed(3)}`)))
      : atlas.el("p", {}, "There is no other cluster on its level."));
}

// What the labels say of the members, each vocabulary as a table with bars.
function composition(map, plates, members) {
  const schemes = atlas.schemes(map, plates);
  const tables = schemes.flatMap((scheme) => {
    const counts = new Map();
    for (const at of members) for (const code of scheme.codesOf(at)) counts.set(code, (counts.get(code) || 0) + 1);
    const sorted = [...counts].sort((one, two) => two[1] - one[1] || one[0] - two[0]);
    if (sorted.length === 0) return [];
    const rows = sorted.slice(0, MOST_VALUES).map(([code, count]) => {
      const bar = atlas.el("meter", { min: 0, max: members.length, value: count, "aria-hidden": "true" });
      return atlas.el("tr", {}, atlas.el("td", {}, scheme.values[code]), atlas.el("td", { class: "number" }, atlas.whole(count)), atlas.el("td", { class: "number" }, `${Math.round((100 * count) / members.length)} %`), atlas.el("td", {}, bar));
    });
    const rest = sorted.length - rows.length;
    return [
      atlas.el("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": scheme.name },
        atlas.el("table", {}, atlas.el("caption", {}, scheme.name), atlas.el("thead", {}, atlas.el("tr", {}, ...["Value", "Members", "Share", ""].map((one) => atlas.el("th", { scope: "col" }, one)))), atlas.el("tbody", {}, ...rows))),
      ...(rest > 0 ? [atlas.el("p", { class: "small" }, `and ${atlas.whole(rest)} values that are rarer`)] : []),
    ];
  });
  return atlas.el("section", {}, atlas.el("h2", {}, "What the labels say"), ...(tables.length ? tables : [atlas.el("p", {}, "No label says anything of its members.")]));
}

atlas.page(show);
