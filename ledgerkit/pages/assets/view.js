// The drawing of a map: where it is looked at from, dots, pictures, names. Knows nothing of the panel.
"use strict";

// Okabe and Ito 2008, told apart by the colour-blind; on a dark ground.
const PALETTE = [[86, 180, 233], [230, 159, 0], [0, 158, 115], [213, 94, 0], [204, 121, 167], [240, 228, 66], [60, 140, 210]];
const NOISE = [135, 138, 145];
const DIM = [52, 54, 60];
const GROUND = [24, 25, 28];
const WHITE = [255, 255, 255];
const MOST_PICTURES = 400;
const MOST_NAMES = 40;

class View {
  constructor(canvas, map, small) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.small = small;
    this.images = new Map();
    this.show(map);
  }

  show(map) {
    this.map = map;
    this.grid = new Grid(map.x, map.y);
    this.spacing = this.grid.spacing();
    this.colours = new Uint32Array(map.count);
    this.back = this.front = new Uint32Array(0);
    this.shown = new Uint8Array(map.count).fill(1);
    this.selected = new Uint8Array(map.count);
    this.point = -1;
    this.lasso = null;
    this.names = [];
    this.pictures = this.named = true;
    this.resize();
    this.fit();
  }

  // Colours by the clusters of one level; points that are not shown lie behind, dim.
  paint(level, shown) {
    const members = this.map.members[level];
    const back = [], front = [];
    this.shown = shown;
    this.level = level;
    for (let at = 0; at < this.map.count; at++) {
      const cluster = members[at];
      this.colours[at] = packedColour(this.selected[at] ? WHITE : !shown[at] ? DIM : this.colour(cluster));
      (shown[at] && (cluster >= 0 || this.selected[at]) ? front : back).push(at);
    }
    this.back = Uint32Array.from(back);
    this.front = Uint32Array.from(front);
    this.names = this.centres(level);
    this.later();
  }

  colour(cluster) {
    return cluster < 0 ? NOISE : PALETTE[this.map.clusters[cluster].label % PALETTE.length];
  }

  // The clusters of a level, largest first, each with the median of its members' places.
  centres(level) {
    const places = new Map();
    this.map.members[level].forEach((cluster, at) => {
      if (cluster < 0 || !this.shown[at]) return;
      if (!places.has(cluster)) places.set(cluster, [[], []]);
      places.get(cluster)[0].push(this.map.x[at]);
      places.get(cluster)[1].push(this.map.y[at]);
    });
    return [...places]
      .map(([cluster, [x, y]]) => ({ cluster, size: x.length, x: median(x), y: median(y), top: y[Math.floor(0.98 * y.length)] }))
      .sort((one, two) => two.size - one.size || one.cluster - two.cluster);
  }

  resize() {
    const box = this.canvas.getBoundingClientRect();
    this.ratio = Math.min(2, window.devicePixelRatio || 1);
    this.width = Math.max(1, Math.round(box.width));
    this.height = Math.max(1, Math.round(box.height));
    this.canvas.width = Math.round(this.width * this.ratio);
    this.canvas.height = Math.round(this.height * this.ratio);
    this.pixels = this.context.createImageData(this.canvas.width, this.canvas.height);
    this.buffer = new Uint32Array(this.pixels.data.buffer);
    this.later();
  }

  fit() {
    const { left, right, bottom, top } = this.grid;
    this.x = (left + right) / 2;
    this.y = (bottom + top) / 2;
    const edge = Math.min(60, this.width / 8);
    this.scale = Math.min((this.width - 2 * edge) / (right - left || 1), (this.height - 2 * edge) / (top - bottom || 1));
    this.least = this.scale / 4;
    this.most = Math.max(this.scale * 4, 400 / this.spacing);
    this.later();
  }

  across(x) {
    return (x - this.x) * this.scale + this.width / 2;
  }

  down(y) {
    return this.height / 2 - (y - this.y) * this.scale;
  }

  // The place on the map under a pixel.
  under(across, down) {
    return [(across - this.width / 2) / this.scale + this.x, (this.height / 2 - down) / this.scale + this.y];
  }

  move(across, down) {
    this.x -= across / this.scale;
    this.y += down / this.scale;
    this.later();
  }

  // Larger or smaller about a pixel, which stays where it is.
  zoom(factor, across = this.width / 2, down = this.height / 2) {
    const [x, y] = this.under(across, down);
    this.scale = Math.max(this.least, Math.min(this.most, this.scale * factor));
    this.x = x - (across - this.width / 2) / this.scale;
    this.y = y + (down - this.height / 2) / this.scale;
    this.later();
  }

  // The shown point at a pixel; -1 if there is none near enough.
  at(across, down) {
    const [x, y] = this.under(across, down);
    const reach = Math.max(10, this.drawn ? this.size / 2 : 0) / this.scale;
    return this.grid.nearest(x, y, reach, (point) => this.shown[point] === 1);
  }

  within(polygon) {
    const places = polygon.map(([across, down]) => this.under(across, down));
    const xs = places.map((one) => one[0]), ys = places.map((one) => one[1]);
    const found = [];
    this.grid.within(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys), (at) => {
      if (this.shown[at] && inside(places, this.map.x[at], this.map.y[at])) found.push(at);
      return false;
    });
    return found;
  }

  // Shown points that can be seen, from top left to bottom right; null when there are more than `most`.
  visible(most) {
    const [left, top] = this.under(0, 0), [right, bottom] = this.under(this.width, this.height);
    const found = [];
    this.grid.within(left, bottom, right, top, (at) => {
      if (this.shown[at]) found.push(at);
      return found.length > most;
    });
    return found.length > most ? null : found;
  }

  later() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  draw() {
    const near = this.pictures ? this.visible(MOST_PICTURES) : null;
    // As large as neighbours leave room for, and larger where few are seen: they may then overlap.
    const room = Math.min(64, Math.sqrt((0.16 * this.width * this.height) / Math.max(1, near ? near.length : this.map.count)));
    this.size = Math.max(26, Math.min(1.25 * this.small.side, Math.max(room, 0.9 * this.spacing * this.scale)));
    this.drawn = near !== null;
    this.dots();
    this.context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    if (near) for (const at of near.sort((one, two) => this.map.y[two] - this.map.y[one])) this.stamp(at);
    if (this.point >= 0) this.ring(this.point);
    if (this.named) this.titles();
    if (this.lasso) this.loop();
  }

  // All dots at once, pixel by pixel: a hundred thousand take a few milliseconds.
  dots() {
    const { buffer, ratio } = this;
    const { width, height } = this.canvas;
    const { x, y, count } = this.map;
    buffer.fill(packedColour(GROUND));
    const closer = Math.max(1, Math.sqrt(this.scale / this.least / 4));
    const radius = Math.min(6, (count > 20000 ? 1 : count > 2000 ? 2 : 4) * Math.min(2, closer)) * ratio;
    const mask = disc(radius, width);
    const edge = Math.ceil(radius);
    const scale = this.scale * ratio;
    const left = width / 2 - this.x * scale, top = height / 2 + this.y * scale;
    for (const layer of [this.back, this.front]) {
      for (const at of layer) {
        const across = Math.round(left + x[at] * scale), down = Math.round(top - y[at] * scale);
        if (across < edge || down < edge || across >= width - edge || down >= height - edge) continue;
        const middle = down * width + across, colour = this.colours[at];
        for (let place = 0; place < mask.length; place++) buffer[middle + mask[place]] = colour;
      }
    }
    this.context.setTransform(1, 0, 0, 1, 0, 0);
    this.context.putImageData(this.pixels, 0, 0);
  }

  // The rectangle of a point's picture on the canvas.
  frame(at) {
    const place = this.small.at(this.map.sprites[at]);
    const share = place ? this.size / Math.max(place.width, place.height) : 0;
    const [wide, high] = place ? [place.width * share, place.height * share] : [14, 14];
    return { place, left: this.across(this.map.x[at]) - wide / 2, top: this.down(this.map.y[at]) - high / 2, wide, high };
  }

  stamp(at) {
    const { place, left, top, wide, high } = this.frame(at);
    if (place === null) return; // its dot is there, and the card says why there is no picture
    const sheet = this.sheet(place.sheet);
    if (sheet === null) return;
    const colour = this.selected[at] ? WHITE : this.colour(this.map.members[this.level][at]);
    const edge = this.selected[at] ? 4 : 2;
    this.context.fillStyle = `rgb(${colour})`;
    this.context.fillRect(left - edge, top - edge, wide + 2 * edge, high + 2 * edge);
    this.context.drawImage(sheet, place.x, place.y, place.width, place.height, left, top, wide, high);
  }

  // A sprite sheet once it is loaded; the few that were used last are kept.
  sheet(number) {
    let image = this.images.get(number);
    if (image === undefined) {
      image = new Image();
      image.onload = () => this.later();
      image.src = this.small.sheets[number];
      if (this.images.size > 24) this.images.delete(this.images.keys().next().value);
    }
    this.images.delete(number);
    this.images.set(number, image);
    return image.complete && image.naturalWidth ? image : null;
  }

  ring(at) {
    const { left, top, wide, high } = this.drawn ? this.frame(at) : { left: this.across(this.map.x[at]) - 7, top: this.down(this.map.y[at]) - 7, wide: 14, high: 14 };
    if (this.drawn) this.stamp(at);
    for (const [edge, colour] of [[6, "#000"], [4, "#ffe14d"]]) {
      this.context.strokeStyle = colour;
      this.context.lineWidth = edge - 1;
      this.context.strokeRect(left - 4, top - 4, wide + 8, high + 8);
    }
  }

  // Names of the largest clusters that can be seen, none on another.
  titles() {
    const taken = [];
    this.context.font = "600 13px system-ui, sans-serif";
    this.context.textBaseline = "middle";
    for (const one of this.names) {
      if (taken.length >= MOST_NAMES) break;
      const text = short(this.map.clusters[one.cluster].title, 34);
      const wide = this.context.measureText(text).width + 14;
      const above = this.down(one.top) - this.size / 2 - 20; // pictures stay visible below it
      const left = this.across(one.x) - wide / 2, top = this.drawn && above > 0 ? above : this.down(one.y) - 12;
      const box = [left, top, left + wide, top + 24];
      if (box[0] < 0 || box[1] < 0 || box[2] > this.width || box[3] > this.height) continue;
      if (taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3])) continue;
      taken.push(box);
      this.context.fillStyle = "rgba(12, 12, 14, 0.88)";
      this.context.strokeStyle = `rgb(${this.colour(one.cluster)})`;
      this.context.lineWidth = 2;
      this.context.beginPath();
      this.context.roundRect(left, top, wide, 24, 6);
      this.context.fill();
      this.context.stroke();
      this.context.fillStyle = "#fff";
      this.context.fillText(text, left + 7, top + 13);
    }
  }

  loop() {
    this.context.strokeStyle = "#ffe14d";
    this.context.fillStyle = "rgba(255, 225, 77, 0.15)";
    this.context.lineWidth = 2;
    this.context.beginPath();
    for (const [across, down] of this.lasso) this.context.lineTo(across, down);
    this.context.closePath();
    this.context.fill();
    this.context.stroke();
  }
}

// A colour as it lies in the memory of a picture: red first, whatever the order of bytes is called.
function packedColour([red, green, blue]) {
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}

// Steps from the middle of a disc to each of its pixels, in a picture so many pixels wide.
function disc(radius, width) {
  const edge = Math.floor(radius), found = [];
  for (let down = -edge; down <= edge; down++) {
    for (let across = -edge; across <= edge; across++) {
      if (across * across + down * down <= (radius + 0.3) ** 2) found.push(down * width + across);
    }
  }
  return Int32Array.from(found);
}

// Half by value, half by rank: islands come nearer to each other, order along the axis is kept.
function evened(values) {
  const sorted = Float32Array.from(new Set(values)).sort();
  const rank = new Map();
  sorted.forEach((value, place) => rank.set(value, place));
  const low = sorted[0], wide = sorted[sorted.length - 1] - low || 1, last = Math.max(1, sorted.length - 1);
  return values.map((value) => 0.5 * ((value - low) / wide) + 0.5 * (rank.get(value) / last));
}

function median(values) {
  values.sort((one, two) => one - two);
  return values[values.length >> 1];
}

function short(text, most) {
  const letters = Array.from(text);
  return letters.length <= most ? text : `${letters.slice(0, most - 1).join("")}…`;
}
