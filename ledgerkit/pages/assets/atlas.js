// What all pages share: data that come as scripts, elements made without markup, small pictures.
"use strict";

const atlas = (() => {
  const held = new Map();
  const waiting = new Map();

  // Called by every file in data/: hands a value over.
  function put(name, value) {
    held.set(name, value);
    if (waiting.has(name)) waiting.get(name)(value);
  }

  // The value of data/NAME.js. A page from the disk cannot fetch, so it is a script element.
  function load(name) {
    if (held.has(name)) return Promise.resolve(held.get(name));
    return new Promise((resolve, reject) => {
      waiting.set(name, resolve);
      const script = document.createElement("script");
      script.src = `data/${name}.js`;
      script.onerror = () => reject(new Error(`data/${name}.js cannot be read`));
      document.head.append(script);
    });
  }

  // The array of numbers that `packed` of script.py wrote.
  function unpack(text, Kind) {
    const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
    return new Kind(bytes.buffer);
  }

  // An element; texts stay texts. `on...` are listeners, other keys attributes.
  function el(name, attributes = {}, ...inside) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
      else if (value === true) made.setAttribute(key, "");
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
    }
    made.append(...inside.filter((one) => one !== null && one !== undefined));
    return made;
  }

  const plateId = (number) => `plate-${String(number).padStart(3, "0")}`;

  function plates() {
    return load("plates").then((data) => ({
      count: data.titles.length,
      titles: data.titles,
      numbers: unpack(data.numbers, Int32Array),
      sprites: unpack(data.sprites, Int32Array),
      labels: data.labels.map(scheme),
      missing: data.missing,
    }));
  }

  function scheme(data) {
    const first = unpack(data.first, Int32Array);
    return { name: data.name, values: data.values, first, codes: (at) => data.several[at] || (first[at] < 0 ? [] : [first[at]]) };
  }

  function sprites() {
    return load("sprites").then((data) => {
      const width = unpack(data.width, Uint8Array), height = unpack(data.height, Uint8Array);
      const sheet = data.across * data.across;
      return {
        side: data.side,
        across: data.across,
        sheets: data.sheets,
        // Where picture `cell` lies; null where there is none.
        at(cell) {
          if (cell < 0 || width[cell] === 0) return null;
          const within = cell % sheet;
          return {
            sheet: Math.floor(cell / sheet),
            x: (within % data.across) * data.side,
            y: Math.floor(within / data.across) * data.side,
            width: width[cell],
            height: height[cell],
          };
        },
      };
    });
  }

  // A small picture with its description; a sentence where there is none.
  function picture(small, cell, text, why) {
    const place = small.at(cell);
    if (place === null) return el("span", { class: "no-picture" }, why || "There is no picture of it.");
    const made = el("span", { class: "thumb", role: "img", "aria-label": text });
    made.style.width = `${place.width}px`;
    made.style.height = `${place.height}px`;
    made.style.backgroundImage = `url("${small.sheets[place.sheet]}")`;
    made.style.backgroundPosition = `-${place.x}px -${place.y}px`;
    return made;
  }

  function map(number) {
    return load(`map-${number}`).then((data) => {
      const members = data.members.map((one) => unpack(one, Int32Array));
      return {
        ...data,
        number,
        count: members[0].length,
        members,
        plates: unpack(data.plates, Int32Array),
        x: unpack(data.x, Float32Array),
        y: unpack(data.y, Float32Array),
        nearest: data.nearest.map((one) => one && unpack(one, Int32Array)),
        probability: unpack(data.probability, Uint8Array),
        sprites: unpack(data.sprites, Int32Array),
        labels: data.labels.map(scheme),
      };
    });
  }

  const subjectOf = (map, plates, at) => (map.subjects ? map.subjects[at] : plateId(plates.numbers[map.plates[at]]));
  const plateOf = (map, plates, at) => plateId(plates.numbers[map.plates[at]]);
  const linkOf = (map, plates, at) => {
    const plate = plateOf(map, plates, at);
    return map.subjects ? `plate.html#${plate}/${map.subjects[at]}` : `plate.html#${plate}`;
  };
  const clusterLink = (number, id) => `cluster.html#${number}/${id}`;
  const kinds = { plate: "plates", tile: "tiles", segment: "segments" };
  const whole = (value) => value.toLocaleString("en");

  // Every scheme that says something of the points of a map: of their plates, then of themselves.
  function schemes(map, plates) {
    const own = map.labels.map((one) => ({ ...one, codesOf: one.codes }));
    return [...plates.labels.map((one) => ({ ...one, codesOf: (at) => one.codes(map.plates[at]) })), ...own];
  }

  function complain(error) {
    const main = document.getElementById("content");
    main.replaceChildren(el("p", { role: "alert", class: "page" }, `This page cannot be shown: ${error.message}`));
  }

  // The page is drawn anew when the part of its address behind # changes.
  function page(draw) {
    const again = () => Promise.resolve().then(draw).catch(complain);
    window.addEventListener("hashchange", () => {
      if (location.hash !== "#content") again();
    });
    again();
  }

  return { put, load, unpack, el, plates, sprites, picture, map, schemes, subjectOf, plateOf, linkOf, clusterLink, plateId, kinds, whole, complain, page };
})();
