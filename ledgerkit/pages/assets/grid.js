// Which points lie where: a grid of cells over the map, each with its points in one long array.
"use strict";

class Grid {
  constructor(x, y) {
    const count = x.length;
    this.x = x;
    this.y = y;
    [this.left, this.right] = span(x);
    [this.bottom, this.top] = span(y);
    this.across = Math.max(1, Math.min(512, Math.ceil(Math.sqrt(count / 4))));
    this.wide = (this.right - this.left) / this.across || 1;
    this.high = (this.top - this.bottom) / this.across || 1;
    const cells = new Uint32Array(count);
    this.start = new Uint32Array(this.across * this.across + 1);
    for (let at = 0; at < count; at++) {
      cells[at] = this.row(y[at]) * this.across + this.column(x[at]);
      this.start[cells[at] + 1]++;
    }
    for (let cell = 0; cell < this.across * this.across; cell++) this.start[cell + 1] += this.start[cell];
    const next = this.start.slice();
    this.points = new Uint32Array(count);
    for (let at = 0; at < count; at++) this.points[next[cells[at]]++] = at;
  }

  column(x) {
    return Math.max(0, Math.min(this.across - 1, Math.floor((x - this.left) / this.wide)));
  }

  row(y) {
    return Math.max(0, Math.min(this.across - 1, Math.floor((y - this.bottom) / this.high)));
  }

  // Calls `each(point)` for the points in a rectangle; stops when it returns true.
  within(left, bottom, right, top, each) {
    const [first, last] = [this.column(left), this.column(right)];
    for (let row = this.row(bottom); row <= this.row(top); row++) {
      for (let place = this.start[row * this.across + first]; place < this.start[row * this.across + last + 1]; place++) {
        const at = this.points[place];
        if (this.x[at] >= left && this.x[at] <= right && this.y[at] >= bottom && this.y[at] <= top && each(at)) return;
      }
    }
  }

  // The point nearest to a place and at most `reach` away for which `wanted` holds; -1 if there is none.
  nearest(x, y, reach, wanted) {
    let best = -1, least = reach * reach;
    this.within(x - reach, y - reach, x + reach, y + reach, (at) => {
      const distance = (this.x[at] - x) ** 2 + (this.y[at] - y) ** 2;
      if (distance <= least && wanted(at)) {
        best = at;
        least = distance;
      }
      return false;
    });
    return best;
  }

  // A distance that is usual between neighbours: the median over at most 500 points.
  spacing() {
    const found = [];
    const step = Math.max(1, Math.floor(this.x.length / 500));
    const width = Math.max(this.right - this.left, this.top - this.bottom) || 1;
    for (let at = 0; at < this.x.length; at += step) {
      let reach = width / this.across / 2, other = -1;
      while (other < 0 && reach < 2 * width) {
        other = this.nearest(this.x[at], this.y[at], reach, (one) => one !== at);
        reach *= 2;
      }
      if (other >= 0) found.push(Math.hypot(this.x[other] - this.x[at], this.y[other] - this.y[at]));
    }
    found.sort((one, two) => one - two);
    return found.length ? found[found.length >> 1] : width;
  }
}

function span(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return values.length ? [low, high] : [0, 1];
}

// Whether a point lies in a polygon of [x, y], by the even-odd rule.
function inside(polygon, x, y) {
  let found = false;
  for (let one = 0, two = polygon.length - 1; one < polygon.length; two = one++) {
    const [ax, ay] = polygon[one], [bx, by] = polygon[two];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) found = !found;
  }
  return found;
}
