// A plate to zoom into, with outlines over it. The pixels are tiles or one picture: OpenSeadragon shows both.
"use strict";

const DRAWING = "http://www.w3.org/2000/svg";
const REDUCED = matchMedia("(prefers-reduced-motion: reduce)").matches;

class Viewer {
  // `plate` as in data/plates; `place` an element, `frame` the size in which outlines are given.
  constructor(place, plate) {
    const zoom = plate.zoom;
    const [file, width, height] = zoom ? [null, zoom[0], zoom[1]] : plate.whole;
    this.frame = plate.frame || [width, height];
    this.size = [width, height];
    this.dragon = OpenSeadragon({
      element: place,
      tileSources: zoom ? tiles(plate) : { type: "image", url: file, buildPyramid: false },
      drawer: "canvas", // pictures from the disk are foreign to WebGL
      showNavigationControl: false,
      showNavigator: false,
      animationTime: REDUCED ? 0 : 0.5,
      maxZoomPixelRatio: 4,
      visibilityRatio: 0.5,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true },
    });
    this.lines = document.createElementNS(DRAWING, "svg");
    this.lines.setAttribute("class", "outlines");
    this.lines.setAttribute("aria-hidden", "true");
    this.group = document.createElementNS(DRAWING, "g");
    this.lines.append(this.group);
    place.append(this.lines);
    for (const name of ["update-viewport", "open", "resize"]) this.dragon.addHandler(name, () => this.follow());
    this.dragon.canvas.setAttribute("aria-label", `${plate.title}. Arrows move, + and - zoom, 0 shows all.`);
    this.dragon.canvas.setAttribute("role", "application");
    this.dragon.drawer.canvas.setAttribute("aria-hidden", "true");
  }

  // One outline; holes are left out by the even-odd rule.
  outline(segment) {
    const path = document.createElementNS(DRAWING, "path");
    path.setAttribute("d", segment.path);
    path.setAttribute("class", `kind-${segment.kind}`);
    this.group.append(path);
    return path;
  }

  follow() {
    const item = this.dragon.world.getItemAt(0);
    if (!item) return;
    const corner = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(0, 0));
    const far = item.imageToViewerElementCoordinates(new OpenSeadragon.Point(...this.size));
    const across = (far.x - corner.x) / this.frame[0], down = (far.y - corner.y) / this.frame[1];
    this.group.setAttribute("transform", `translate(${corner.x} ${corner.y}) scale(${across} ${down})`);
  }

  // Bring a box of the frame into view.
  look([left, top, right, bottom]) {
    const item = this.dragon.world.getItemAt(0);
    if (!item) {
      this.dragon.addOnceHandler("open", () => this.look([left, top, right, bottom]));
      return;
    }
    const across = this.size[0] / this.frame[0], down = this.size[1] / this.frame[1];
    const edge = 0.15 * Math.max(right - left, bottom - top);
    const box = new OpenSeadragon.Rect((left - edge) * across, (top - edge) * down, (right - left + 2 * edge) * across, (bottom - top + 2 * edge) * down);
    this.dragon.viewport.fitBounds(item.imageToViewportRectangle(box), REDUCED);
  }

  zoom(factor) {
    this.dragon.viewport.zoomBy(factor);
    this.dragon.viewport.applyConstraints();
  }

  fit() {
    this.dragon.viewport.goHome(REDUCED);
  }

  close() {
    this.dragon.destroy();
  }
}

function tiles(plate) {
  const [width, height, tileSize, levels] = plate.zoom;
  return {
    width,
    height,
    tileSize,
    tileOverlap: 0,
    minLevel: 0,
    maxLevel: levels - 1,
    getTileUrl: (level, column, row) => `tiles/${plate.id}/${level}/${column}_${row}.jpg`,
  };
}
