// Panels beside the picture: plots over time, the tracker's search region with its scores, and settings.

const SAMPLES = 300;
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** A plot of values over time, with the newest at the right. `series` names the colours, one for each value of an entry.
`most` is the top of the plot; null fits it to the values. */
export class Strip {
  constructor(canvas, output, series, most, words) {
    Object.assign(this, { canvas, output, series, most, words });
    this.values = [];
  }

  push(values, isLost) {
    this.values.push({ values, isLost });
    if (this.values.length > SAMPLES) this.values.shift();
    this.output.textContent = this.words(values);
  }

  clear() {
    this.values = [];
    this.output.textContent = "";
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const { canvas } = this;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width) return;
    canvas.width = width * ratio;
    canvas.height = height * ratio;
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const total = (entry) => entry.values.reduce((sum, value) => sum + value, 0);
    const top = this.most ?? Math.max(1, ...this.values.map(total)) * 1.1;
    const step = width / SAMPLES;
    const left = width - this.values.length * step;
    this.values.forEach((entry, k) => {
      const x = left + k * step;
      if (entry.isLost) {
        context.fillStyle = color("--lost");
        context.globalAlpha = 0.25;
        context.fillRect(x, 0, step + 0.5, height);
        context.globalAlpha = 1;
      }
      let base = height;
      entry.values.forEach((value, s) => {
        const bar = (value / top) * height;
        context.fillStyle = color(this.series[s]);
        context.fillRect(x, base - bar, Math.max(step, 1), bar);
        base -= bar;
      });
    });
  }
}

/** Shows the template, the search region, the score map and the candidates. */
export class SightPanel {
  constructor({ template, region, overlay, cursor, candidates }) {
    Object.assign(this, { template, region, overlay, cursor, candidates });
    this.sight = null;
    this.shownTemplate = 0;
    this.map = document.createElement("canvas");
    region.addEventListener("pointermove", (event) => this.point(event));
    region.addEventListener("pointerleave", () => (cursor.textContent = ""));
  }

  /** Loads the template's picture again if its number has changed. 0: there is no template. */
  tellTemplate(number) {
    if (number === this.shownTemplate) return;
    this.shownTemplate = number;
    this.template.hidden = number === 0;
    if (number) this.template.src = `/template?${number}`;
  }

  show(bitmap, size, sight) {
    this.sight = sight;
    const context = this.region.getContext("2d");
    const side = this.region.width;
    context.fillStyle = "#000";
    context.fillRect(0, 0, side, side);
    if (!sight) {
      this.candidates.replaceChildren();
      return;
    }
    const [x, y, span] = sight.window;
    const scale = side / span;
    // The received picture may be smaller than the frame.
    const shrunk = bitmap.width / size[0];
    context.save();
    context.scale(scale, scale);
    context.translate(-x, -y);
    context.scale(1 / shrunk, 1 / shrunk);
    context.drawImage(bitmap, 0, 0);
    context.restore();
    if (this.overlay.checked) this.drawMap(context, scale);
    const [cx, cy, cw, ch] = sight.candidate;
    context.strokeStyle = "#fff";
    context.lineWidth = 1.5;
    context.strokeRect((cx - x) * scale, (cy - y) * scale, cw * scale, ch * scale);
    this.candidates.replaceChildren(
      ...sight.peaks.map(([cell, score]) => {
        const [row, column] = [Math.floor(cell / sight.side), cell % sight.side];
        const [left, top, right, down] = sight.cells;
        const at = [left + column * right, top + row * down];
        const line = document.createElement("tr");
        for (const text of [`${column}, ${row}${cell === sight.best ? " chosen" : ""}`, score.toFixed(3), at.map((v) => v.toFixed(0)).join(", ")]) {
          const field = document.createElement("td");
          field.textContent = text;
          line.append(field);
        }
        return line;
      }),
    );
  }

  /** Draws the score map over the search region. Each cell lies around its own centre. Tracker families place the centres
  differently, so the map may be smaller or larger than the region. */
  drawMap(context, scale) {
    const { sight, map } = this;
    map.width = map.height = sight.side;
    const own = map.getContext("2d");
    const image = own.createImageData(sight.side, sight.side);
    sight.scores.forEach((score, cell) => {
      image.data.set([255, 120 + score / 2, 40, score * 0.8], cell * 4);
    });
    own.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = false;
    const [x, y] = sight.window;
    const [left, top, right, down] = sight.cells;
    const corner = [(left - right / 2 - x) * scale, (top - down / 2 - y) * scale];
    context.drawImage(map, ...corner, sight.side * right * scale, sight.side * down * scale);
    context.imageSmoothingEnabled = true;
  }

  point(event) {
    if (!this.sight) return;
    const bounds = this.region.getBoundingClientRect();
    const [u, v] = [(event.clientX - bounds.left) / bounds.width, (event.clientY - bounds.top) / bounds.height];
    const { side, window: [x, y, span], cells: [left, top, right, down], scores } = this.sight;
    const at = [x + u * span, y + v * span];
    const [column, row] = [Math.round((at[0] - left) / right), Math.round((at[1] - top) / down)];
    const isIn = column >= 0 && row >= 0 && column < side && row < side;
    const score = isIn ? `  score ${(scores[row * side + column] / 255).toFixed(3)}` : "";
    this.cursor.textContent = `x ${at[0].toFixed(0)}  y ${at[1].toFixed(0)}${score}`;
  }
}

/** Shows the settings as a form. Each change is sent at once by `change({name: value})`. */
export class SettingsPanel {
  constructor(form, change) {
    Object.assign(this, { form, change });
    this.settings = [];
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  changed() {
    return this.settings.filter((setting) => setting.value !== setting.default);
  }

  show(settings) {
    const shape = (list) => JSON.stringify(list.map((setting) => [setting.name, setting.choices]));
    if (shape(settings) !== shape(this.settings)) {
      this.form.replaceChildren(...settings.map((setting) => this.row(setting)));
    }
    this.settings = settings;
    for (const setting of settings) this.fill(setting);
  }

  row(setting) {
    const row = document.createElement("div");
    row.className = "setting";
    const id = `set-${setting.name}`;
    const label = document.createElement("label");
    label.htmlFor = id;
    label.textContent = setting.name;
    const describe = document.createElement("p");
    describe.id = `${id}-help`;
    describe.textContent = setting.description;
    const input = document.createElement(setting.choices ? "select" : "input");
    input.id = id;
    input.name = setting.name;
    input.setAttribute("aria-describedby", describe.id);
    const send = (value) => this.change({ [setting.name]: value });
    row.append(label, input);
    if (setting.choices) {
      input.append(...setting.choices.map((choice) => new Option(choice, choice)));
      input.addEventListener("change", () => send(input.value));
    } else if (typeof setting.value === "boolean") {
      input.type = "checkbox";
      input.addEventListener("change", () => send(input.checked));
    } else if (setting.range) {
      const isWhole = setting.whole;
      const [low, high] = setting.range;
      input.type = "number";
      input.min = setting.none ?? low;
      input.max = high;
      input.step = isWhole ? 1 : "any";
      input.addEventListener("change", () => input.value !== "" && send(Number(input.value)));
      if (high - low <= 100) {
        const slider = document.createElement("input");
        slider.type = "range";
        slider.setAttribute("aria-label", setting.name);
        slider.min = low;
        slider.max = high;
        slider.step = isWhole ? 1 : (high - low) / 100;
        slider.addEventListener("input", () => (input.value = Number(slider.value)));
        slider.addEventListener("change", () => send(Number(slider.value)));
        row.append(slider);
      }
    } else {
      input.type = "text";
      input.maxLength = 200;
      input.addEventListener("change", () => send(input.value));
    }
    row.append(describe);
    return row;
  }

  fill(setting) {
    const input = this.form.elements[setting.name];
    const field = input instanceof RadioNodeList ? input[0] : input;
    if (!field || document.activeElement === field) return;
    if (field.type === "checkbox") field.checked = setting.value;
    else field.value = setting.value;
    const slider = field.parentElement.querySelector("input[type=range]");
    if (slider && document.activeElement !== slider) slider.value = setting.value;
    field.parentElement.querySelector("label").classList.toggle("changed", setting.value !== setting.default);
  }

  asParameters(node) {
    const lines = this.changed().map(({ name, value }) => `    ${name}: ${yaml(value)}`);
    return `${node.startsWith("/") ? node : `/**`}:\n  ros__parameters:${lines.length ? `\n${lines.join("\n")}` : " {}"}\n`;
  }

  asCommand(command) {
    const parts = this.changed().map(({ name, value }) => `--set ${name}=${shell(String(value))}`);
    return [command || "ros2 run ettrack ettrack_node --ros-args", ...(command ? parts : this.changed().map(({ name, value }) => `-p ${name}:=${shell(yaml(value))}`))].join(" ");
  }
}

function yaml(value) {
  if (typeof value === "string") return JSON.stringify(value);
  return String(value);
}

function shell(text) {
  return /^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
