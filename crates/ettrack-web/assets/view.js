// The picture: drawing, zooming, and choosing a box or a point in the frame that is shown.

const TRAIL = 60; // number of past positions that are drawn
const TAP = 6; // CSS pixels; a shorter movement is a tap, a longer one is a drag
const MOST_ZOOM = 24;

export class View {
  /** Calls `choose({box}|{point}, stamp)` with pixels of the frame and the stamp of the frame that was shown. Calls `say(text)`
  to show a message. */
  constructor(element, canvas, cursorOutput, choose, say) {
    Object.assign(this, { element, canvas, cursorOutput, choose, say });
    this.context = canvas.getContext("2d");
    this.bitmap = null; // the shown picture
    this.update = null; // the answer for that picture
    this.next = null; // the newest picture while a box is dragged
    this.zoom = 1;
    this.center = [0.5, 0.5]; // point of the frame in the middle of the view, as shares of its width and height
    this.trail = [];
    this.drag = null;
    this.cross = null; // keyboard cursor, pixels of the frame
    this.corner = null; // first corner of a box that is drawn by keys, pixels of the frame
    this.hover = null;
    this.moving = false;
    this.pointers = new Map();
    this.listen();
    new ResizeObserver(() => this.draw()).observe(element);
  }

  /** Shows a picture with its answer. While a box is dragged, the picture does not change. */
  show(bitmap, update) {
    if (this.drag?.kind === "box") {
      this.next?.bitmap.close();
      this.next = { bitmap, update };
      return;
    }
    this.bitmap?.close();
    this.bitmap = bitmap;
    this.update = update;
    if (update.state === "idle" || update.id !== this.trailOf) this.trail = [];
    this.trailOf = update.id;
    if (update.box && update.state === "tracking") {
      this.trail.push([update.box[0] + update.box[2] / 2, update.box[1] + update.box[3] / 2]);
      if (this.trail.length > TRAIL) this.trail.shift();
    }
    this.draw();
  }

  /** Shows no target in the present picture. A source that gives no more pictures would show the old one for ever. */
  forget() {
    if (!this.update?.box) return;
    this.update = { ...this.update, state: "idle", box: null };
    this.trail = [];
    this.draw();
  }

  get size() {
    return this.update?.size ?? [0, 0];
  }

  /** Returns the scale (CSS pixels per pixel of the frame) and the frame's upper-left corner in the view (CSS pixels). */
  geometry() {
    const [width, height] = this.size;
    const { clientWidth, clientHeight } = this.element;
    const fit = Math.min(clientWidth / width, clientHeight / height) || 1;
    const scale = fit * this.zoom;
    const keep = (center, shown, all) =>
      shown >= all ? 0.5 : Math.min(Math.max(center, shown / 2 / all), 1 - shown / 2 / all);
    this.center = [
      keep(this.center[0], clientWidth / scale, width),
      keep(this.center[1], clientHeight / scale, height),
    ];
    return {
      scale,
      left: clientWidth / 2 - this.center[0] * width * scale,
      top: clientHeight / 2 - this.center[1] * height * scale,
    };
  }

  toFrame(x, y) {
    const { scale, left, top } = this.geometry();
    return [(x - left) / scale, (y - top) / scale];
  }

  inside([x, y]) {
    return [Math.min(Math.max(x, 0), this.size[0]), Math.min(Math.max(y, 0), this.size[1])];
  }

  contains([x, y]) {
    return x >= 0 && y >= 0 && x < this.size[0] && y < this.size[1];
  }

  zoomBy(factor, at) {
    const [width, height] = this.size;
    if (!width) return;
    const here = at ?? [this.element.clientWidth / 2, this.element.clientHeight / 2];
    const before = this.toFrame(...here);
    this.zoom = Math.min(Math.max(this.zoom * factor, 1), MOST_ZOOM);
    const after = this.toFrame(...here);
    this.center = [
      this.center[0] + (before[0] - after[0]) / width,
      this.center[1] + (before[1] - after[1]) / height,
    ];
    this.draw();
  }

  showAll() {
    this.zoom = 1;
    this.draw();
  }

  setMoving(moving) {
    this.moving = moving;
    this.element.classList.toggle("moving", moving);
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.element;
    const [width, height] = [Math.round(clientWidth * ratio), Math.round(clientHeight * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const context = this.context;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, clientWidth, clientHeight);
    if (!this.bitmap) return;
    const { scale, left, top } = this.geometry();
    context.imageSmoothingEnabled = scale < 3;
    context.drawImage(this.bitmap, left, top, this.size[0] * scale, this.size[1] * scale);
    const x = (value) => left + value * scale;
    const y = (value) => top + value * scale;
    this.drawTrail(context, x, y);
    if (this.update.box) this.drawTarget(context, x, y, scale);
    const box = this.drag?.kind === "box" ? this.dragged() : this.keyed();
    if (box) frame(context, x(box[0]), y(box[1]), box[2] * scale, box[3] * scale, "#ffffff", [5, 4]);
    if (this.cross) {
      context.strokeStyle = "#ffffff";
      context.lineWidth = 1.5;
      context.beginPath();
      context.moveTo(x(this.cross[0]) - 12, y(this.cross[1]));
      context.lineTo(x(this.cross[0]) + 12, y(this.cross[1]));
      context.moveTo(x(this.cross[0]), y(this.cross[1]) - 12);
      context.lineTo(x(this.cross[0]), y(this.cross[1]) + 12);
      context.stroke();
    }
  }

  drawTrail(context, x, y) {
    if (this.trail.length < 2) return;
    context.lineWidth = 2;
    for (let k = 1; k < this.trail.length; k++) {
      context.strokeStyle = `rgb(63 210 139 / ${(0.75 * k) / this.trail.length})`;
      context.beginPath();
      context.moveTo(x(this.trail[k - 1][0]), y(this.trail[k - 1][1]));
      context.lineTo(x(this.trail[k][0]), y(this.trail[k][1]));
      context.stroke();
    }
  }

  drawTarget(context, x, y, scale) {
    const { box, state, confidence, id } = this.update;
    const color = state === "tracking" ? "#3fd28b" : "#ffb03a";
    frame(context, x(box[0]), y(box[1]), box[2] * scale, box[3] * scale, color, state === "lost" ? [9, 6] : []);
    const label = `${state === "lost" ? "lost " : ""}${id} · ${confidence.toFixed(2)}`;
    context.font = "600 13px system-ui, sans-serif";
    const width = context.measureText(label).width + 10;
    const left = Math.min(Math.max(x(box[0]), 0), Math.max(this.element.clientWidth - width, 0));
    const top = Math.max(y(box[1]) - 22, 0);
    context.fillStyle = color;
    context.fillRect(left, top, width, 19);
    context.fillStyle = "#0d1110";
    context.fillText(label, left + 5, top + 14);
  }

  dragged() {
    const [a, b] = [this.drag.from, this.drag.to];
    return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])];
  }

  keyed() {
    if (!this.corner || !this.cross) return null;
    const [a, b] = [this.corner, this.cross];
    return [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])];
  }

  place(event) {
    const bounds = this.element.getBoundingClientRect();
    return [event.clientX - bounds.left, event.clientY - bounds.top];
  }

  listen() {
    const { element } = this;
    element.addEventListener("pointerdown", (event) => {
      if (event.button > 0 || !this.update || event.target.closest("button")) return;
      element.setPointerCapture(event.pointerId);
      const at = this.place(event);
      this.pointers.set(event.pointerId, at);
      if (this.pointers.size === 2) {
        const [a, b] = [...this.pointers.values()];
        this.letGo();
        this.drag = { kind: "pinch", apart: Math.hypot(a[0] - b[0], a[1] - b[1]), middle: mean(a, b) };
        return;
      }
      // A third finger, such as a palm, does not begin anything.
      if (this.pointers.size > 2) return;
      const pixel = this.toFrame(...at);
      const [from, to] = [this.inside(pixel), this.inside(pixel)];
      this.drag = this.moving
        ? { kind: "move", at }
        : { kind: "box", start: at, tapped: pixel, from, to, stamp: this.update.stamp };
      this.cross = this.corner = null;
      this.draw();
    });
    element.addEventListener("pointermove", (event) => {
      const at = this.place(event);
      this.hover = at;
      this.tellCursor();
      if (!this.pointers.has(event.pointerId) || !this.drag) return;
      this.pointers.set(event.pointerId, at);
      if (this.drag.kind === "pinch" && this.pointers.size === 2) {
        const [a, b] = [...this.pointers.values()];
        const apart = Math.hypot(a[0] - b[0], a[1] - b[1]);
        const middle = mean(a, b);
        this.shift(middle[0] - this.drag.middle[0], middle[1] - this.drag.middle[1]);
        this.zoomBy(apart / this.drag.apart, middle);
        Object.assign(this.drag, { apart, middle });
      } else if (this.drag.kind === "move") {
        this.shift(at[0] - this.drag.at[0], at[1] - this.drag.at[1]);
        this.drag.at = at;
      } else if (this.drag.kind === "box") {
        this.drag.to = this.inside(this.toFrame(...at));
        this.drag.far = Math.hypot(at[0] - this.drag.start[0], at[1] - this.drag.start[1]);
      }
      this.draw();
    });
    element.addEventListener("pointerup", (event) => {
      if (!this.pointers.delete(event.pointerId)) return;
      const drag = this.drag;
      if (drag?.kind !== "box") {
        if (this.pointers.size === 0) this.drag = null;
        return;
      }
      const box = this.dragged();
      if ((drag.far ?? 0) < TAP) {
        // A tap beside the picture chooses nothing.
        if (this.contains(drag.tapped)) this.choose({ point: drag.tapped }, drag.stamp);
      } else if (box[2] >= 1 && box[3] >= 1) this.choose({ box }, drag.stamp);
      else this.say("The box is too small: drag from one corner of the target to the opposite corner.");
      this.letGo();
    });
    element.addEventListener("pointercancel", (event) => {
      this.pointers.delete(event.pointerId);
      this.letGo();
    });
    element.addEventListener("pointerleave", () => {
      this.hover = null;
      this.tellCursor();
    });
    element.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        this.zoomBy(Math.exp(-event.deltaY * 0.0015), this.place(event));
      },
      { passive: false },
    );
    element.addEventListener("keydown", (event) => this.key(event));
  }

  shift(right, down) {
    const { scale } = this.geometry();
    this.center = [
      this.center[0] - right / scale / this.size[0],
      this.center[1] - down / scale / this.size[1],
    ];
  }

  /** Ends a drag and shows the newest picture that came during it. */
  letGo() {
    this.drag = null;
    const next = this.next;
    this.next = null;
    if (next) this.show(next.bitmap, next.update);
    this.draw();
  }

  key(event) {
    // The buttons in the view have their own keys.
    if (event.target !== this.element) return;
    if (!this.update || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = (event.shiftKey ? 24 : 4) / this.geometry().scale;
    const move = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (move) {
      const from = this.cross ?? [this.size[0] / 2, this.size[1] / 2];
      this.cross = this.inside([from[0] + move[0], from[1] + move[1]]);
      this.cursorOutput.textContent = this.words(this.cross);
    } else if (event.key === "Enter" && this.cross && !this.corner) {
      // The cross may be at the right or lower border, which belongs to no pixel.
      const point = [0, 1].map((axis) => Math.min(this.cross[axis], this.size[axis] - 0.5));
      this.choose({ point }, this.update.stamp);
      this.cross = null;
    } else if ((event.key === "b" || event.key === "Enter") && this.cross) {
      if (!this.corner) {
        this.corner = this.cross;
        this.cornerStamp = this.update.stamp;
      } else {
        const box = this.keyed();
        if (box[2] >= 1 && box[3] >= 1) this.choose({ box }, this.update.stamp);
        this.cross = this.corner = null;
      }
    } else if (event.key === "b") {
      this.cross = this.corner = [this.size[0] / 2, this.size[1] / 2];
    } else if (event.key === "Escape") {
      this.cross = this.corner = null;
      this.letGo();
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
    this.draw();
  }

  words([x, y]) {
    return `x ${x.toFixed(1)}  y ${y.toFixed(1)}`;
  }

  tellCursor() {
    if (!this.hover || !this.bitmap) {
      this.cursorOutput.textContent = "";
      return;
    }
    const at = this.toFrame(...this.hover);
    if (!this.contains(at)) {
      this.cursorOutput.textContent = "";
      return;
    }
    const ratio = this.canvas.width / this.element.clientWidth;
    const [r, g, b] = this.context.getImageData(this.hover[0] * ratio, this.hover[1] * ratio, 1, 1).data;
    this.cursorOutput.textContent = `${this.words(at)}  rgb ${r} ${g} ${b}`;
  }
}

function mean(a, b) {
  return [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
}

/** Draws a box in colour on a wider dark line, so that it is visible on any background. */
function frame(context, x, y, width, height, color, dashes) {
  context.setLineDash([]);
  context.lineWidth = 4;
  context.strokeStyle = "rgb(0 0 0 / 0.55)";
  context.strokeRect(x, y, width, height);
  context.setLineDash(dashes);
  context.lineWidth = 2;
  context.strokeStyle = color;
  context.strokeRect(x, y, width, height);
  context.setLineDash([]);
}
