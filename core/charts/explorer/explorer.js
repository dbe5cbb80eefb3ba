// The embedding explorer: a WebGL scatter plot with pan, zoom, hover, lasso and box. core/charts/explorer/__init__.py packs what it draws.
//
// It sends back where the visitor selected, never which points: { polygon: [[x, y], ...] }, { point: index }, or {} for nothing.
import createScatterplot from "regl-scatterplot";

const plots = new WeakMap();

export default function ({ data, parentElement, setStateValue }) {
  const frame = parentElement.querySelector(".frame");
  let plot = plots.get(parentElement);
  if (!plot) {
    plot = new Plot(frame);
    plots.set(parentElement, plot);
  }
  plot.send = (selection) => setStateValue("selection", selection);
  if (data) plot.show(unpack(data));
  return () => {
    plot.destroy();
    plots.delete(parentElement);
  };
}

function unpack(bytes) {
  const copy = new Uint8Array(bytes); // aligned at 0
  const length = new DataView(copy.buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(copy.subarray(4, 4 + length)));
  let place = 4 + length;
  const take = (Type, count) => {
    const array = new Type(copy.buffer, place, count);
    place += count * Type.BYTES_PER_ELEMENT;
    return array;
  };
  const { n, thumbnail } = header;
  const columns = { x: take(Float32Array, n), y: take(Float32Array, n), colour: take(Float32Array, n) };
  columns.selected = take(Uint8Array, n);
  columns.pixels = thumbnail ? take(Uint8Array, n * thumbnail.height * thumbnail.width * thumbnail.channels) : null;
  return { ...header, ...columns };
}

class Plot {
  constructor(frame) {
    this.frame = frame;
    this.canvas = frame.querySelector("canvas.points");
    this.tooltip = frame.querySelector(".tooltip");
    this.shown = null;
    this.lassoing = false;
    this.drawing = Promise.resolve();
    const { width, height } = this.size();
    this.scatter = createScatterplot({
      canvas: this.canvas, width, height, lassoMinDelay: 5, lassoMinDist: 2, deselectOnEscape: true,
      opacityInactiveMax: 0.12, opacityInactiveScale: 1, pointSizeSelected: 1,
    });
    this.listen();
    this.observer = new ResizeObserver(() => this.scatter.set(this.size()));
    this.observer.observe(this.canvas.parentElement);
    frame.querySelector(".toolbar").onclick = (event) => this.press(event.target.closest("button"));
    this.setMode("pan");
  }

  size() {
    const box = this.canvas.parentElement.getBoundingClientRect();
    return { width: Math.max(box.width, 50), height: Math.max(box.height, 50) };
  }

  listen() {
    this.scatter.subscribe("lassoStart", () => { this.lassoing = true; });
    this.scatter.subscribe("lassoEnd", ({ coordinates }) => {
      const polygon = coordinates.map(([x, y]) => [x, y]);
      setTimeout(() => { this.lassoing = false; });
      if (polygon.length > 2) this.send({ polygon });
    });
    this.scatter.subscribe("select", ({ points }) => {
      if (!this.lassoing && points.length === 1) this.send({ point: points[0] });
    });
    this.scatter.subscribe("deselect", () => { if (!this.lassoing) this.send({}); });
    this.scatter.subscribe("pointOver", (index) => this.describe(index));
    this.scatter.subscribe("pointOut", () => { this.tooltip.hidden = true; });
    this.canvas.parentElement.onpointermove = (event) => {
      const box = this.canvas.parentElement.getBoundingClientRect();
      const x = event.clientX - box.left, y = event.clientY - box.top;
      this.tooltip.style.transform = `translate(${x > box.width / 2 ? x - 12 - this.tooltip.offsetWidth : x + 12}px, ${y + 12}px)`;
    };
  }

  press(button) {
    if (!button) return;
    const action = button.dataset.action;
    if (action === "reset") this.scatter.reset();
    else if (action === "clear") this.scatter.deselect();
    else this.setMode(action);
  }

  setMode(mode) {
    this.scatter.set({ mouseMode: mode === "pan" ? "panZoom" : "lasso", lassoType: mode === "box" ? "rectangle" : "freeform" });
    for (const button of this.frame.querySelectorAll("button[data-mode]"))
      button.setAttribute("aria-pressed", String(button.dataset.action === mode));
  }

  show(next) {
    const before = this.shown;
    this.shown = next;
    this.canvas.setAttribute("aria-label", next.description);
    this.canvas.setAttribute("role", "img");
    this.legend(next);
    this.scatter.set({
      backgroundColor: next.background, pointColor: next.colours, pointColorActive: next.colours, pointColorHover: next.hover,
      colorBy: "valueA", pointSize: next.size, opacity: next.opacity, lassoColor: next.hover,
    });
    const same = before && before.version === next.version;
    const moves = before && before.n === next.n && before.series === next.series && !same;
    const chosen = [];
    next.selected.forEach((is, index) => { if (is) chosen.push(index); });
    const points = { x: next.x, y: next.y, z: next.colour };
    const draw = () =>
      this.scatter.draw(points, {
        transition: moves, transitionDuration: 700, zDataType: next.kind === "value" ? "continuous" : "categorical",
      });
    this.drawing = this.drawing
      .then(() => (same ? null : draw()))
      .then(() => {
        if (next.marked && chosen.length) this.scatter.select(chosen, { preventEvent: true });
        else this.scatter.deselect({ preventEvent: true });
        this.frame.dataset.drawn = String(next.n);
      });
  }

  legend(next) {
    const legend = this.frame.querySelector(".legend");
    legend.replaceChildren(
      ...next.legend.map(({ title, colour }) => {
        const entry = document.createElement("span"), swatch = document.createElement("i");
        swatch.style.background = colour;
        entry.append(swatch, title);
        return entry;
      }),
    );
  }

  describe(index) {
    const { texts, thumbnail, pixels } = this.shown;
    const picture = this.tooltip.querySelector("canvas"), words = this.tooltip.querySelector("span");
    words.textContent = texts ? texts[index] : `item ${index}`;
    picture.hidden = !thumbnail;
    if (thumbnail) {
      const { height, width, channels } = thumbnail, image = new ImageData(width, height), start = index * height * width * channels;
      for (let p = 0; p < height * width; p++) {
        for (let c = 0; c < 3; c++) image.data[4 * p + c] = pixels[start + p * channels + (channels === 3 ? c : 0)];
        image.data[4 * p + 3] = 255;
      }
      Object.assign(picture, { width, height });
      picture.getContext("2d").putImageData(image, 0, 0);
    }
    this.tooltip.hidden = false;
  }

  destroy() {
    this.observer.disconnect();
    this.drawing.then(() => this.scatter.destroy());
  }
}
