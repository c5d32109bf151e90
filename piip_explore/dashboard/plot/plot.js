/* Charts around plotly.js. Streamlit calls the default export whenever what Python sends of a chart or the theme
 * changes. A chart is drawn again only when its figure or the theme did; what is over it (marks.js) are elements of
 * their own, moved along with the axes. */

const charts = (window.piipCharts ??= new Map());
const overlays = (window.piipOverlays ??= new Map());

export default function (component) {
  const { data, parentElement } = component;
  let chart = charts.get(data.key);
  if (chart?.parent !== parentElement) {
    chart = new Chart(parentElement, data.key);
    charts.set(data.key, chart);
  }
  chart.show(component);
  return () => {
    if (charts.get(data.key) === chart) charts.delete(data.key);
    chart.close();
  };
}

function loadPlotly(source) {
  window.piipPlotly ??= new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = source;
    script.onload = () => resolve(window.Plotly);
    script.onerror = () => reject(new Error("plotly.js did not load: reload the page"));
    document.head.append(script);
  });
  return window.piipPlotly;
}

const isTouch = () => matchMedia("(pointer: coarse)").matches;

class Chart {
  constructor(parent, key) {
    this.parent = parent;
    this.key = key;
    this.shown = "";
    this.chain = Promise.resolve();
    this.frame = element("div", "piip-chart", element("div", "piip-scroll", parent));
    this.plot = element("div", "piip-plot", this.frame);
    this.over = element("div", "piip-over", this.frame);
    this.plot.setAttribute("role", "figure");
    this.plot.tabIndex = 0;
    if (isTouch()) {
      // Plotly would take a swipe for a drag and stop the page from scrolling; a tap still reaches it as a click.
      const passOver = (event) => event.stopPropagation();
      this.plot.addEventListener("touchstart", passOver, { capture: true, passive: true });
    }
  }

  /** Draw what Python sent, after what it sent before. */
  show({ data, setTriggerValue }) {
    this.tell = setTriggerValue;
    this.plot.setAttribute("aria-label", data.alt);
    this.frame.style.minHeight = `${data.height}px`;
    this.frame.style.minWidth = `${data.least}px`;
    this.chain = this.chain.then(() => this.draw(data));
  }

  async draw(data) {
    const theme = themeOf(this.parent);
    const wanted = JSON.stringify([theme, data.figure]);
    if (wanted === this.shown) return;
    const Plotly = await loadPlotly(data.source);
    const figure = JSON.parse(data.figure);
    const layout = { ...figure.layout, template: theme, autosize: true, selections: [] };
    for (const name of Object.keys(layout).filter((name) => /^[xy]axis\d*$/.test(name))) {
      const axis = layout[name];
      if (axis.type === "log") Object.assign(axis, ticks(...extent(figure.data, name))); // the range is not known yet
      axis.uirevision = `${axis.title?.text} ${axis.type}`; // a zoom holds as long as its axis shows the same quantity
      if (isTouch()) axis.fixedrange = true; // a finger scrolls the page
    }
    layout.dragmode = isTouch() ? false : (layout.dragmode ?? "zoom");
    await Plotly.react(this.plot, figure.data, layout, configOf(Plotly, data.picks));
    this.shown = wanted;
    this.plot.dataset.drawn = Number(this.plot.dataset.drawn ?? 0) + 1;
    this.places = null;
    if (!this.listening) this.listen(data.picks);
    this.tickLogAxes();
    this.lay();
  }

  listen(picks) {
    this.listening = true;
    const { plot } = this;
    for (const event of ["plotly_afterplot", "plotly_relayouting"]) plot.on(event, () => this.lay());
    plot.on("plotly_relayout", (changed) => {
      if (Object.keys(changed).some((name) => /axis\d*\.(range|autorange)/.test(name))) this.tickLogAxes();
    });
    plot.on("plotly_restyle", ([changed]) => {
      if (!this.brushing && Object.keys(changed).some((name) => name.includes("constraintrange"))) this.brushed();
    });
    if (!picks) return;
    plot.on("plotly_click", ({ points, event }) => this.pick(points, event.shiftKey));
    plot.on("plotly_selected", (event) => {
      if (!event) return;
      this.pick(event.points, false, event);
      if (plot.layout.selections?.length) {
        window.Plotly.update(plot, { selectedpoints: null }, { selections: [] });
      }
    });
  }

  pick(points, add, area = {}) {
    const named = points.map((point) => point.customdata).filter((name) => name !== undefined && name !== null);
    const boxes = area.range?.x ? [area.range] : [];
    const lassos = area.lassoPoints?.x ? [area.lassoPoints] : [];
    if (named.length || boxes.length || lassos.length) {
      this.tell("pick", { points: [...new Set(named.flat())], boxes, lassos, add });
    }
  }

  // ---- What is over the chart

  get state() {
    return overlays.get(this.key) ?? { marks: [], walk: [], brush: {}, budget: null };
  }

  /** Lay marks and budget where the axes now put them. */
  lay() {
    if (this.dimensions.length) {
      this.brush(this.state.brush);
      return;
    }
    if (!this.plot._fullLayout?.xaxis?.d2p) return;
    this.over.replaceChildren();
    if (this.state.budget) this.layBudget(this.state.budget);
    for (const mark of this.state.marks) this.layMark(mark); // on top of what dims the far side
  }

  layMark(mark) {
    const place = this.placeOf(mark);
    if (!place) return;
    const spot = element("div", `piip-mark${mark.selected ? " piip-selected" : ""}`, this.over);
    spot.dataset.trial = mark.trial;
    spot.style.left = `${place[0]}px`;
    spot.style.top = `${place[1]}px`;
    spot.style.setProperty("--mark", mark.color);
    if (mark.label) {
      const words = element("span", place[0] > this.plot.clientWidth * 0.8 ? "piip-left" : "", spot);
      words.textContent = mark.label;
    }
  }

  /** Pixels of a mark from the frame's corner, null where it is zoomed out of view. */
  placeOf(mark) {
    const full = this.plot._fullLayout;
    const found = this.drawnAt(mark.trial);
    const [x, y, axis] = found ?? [mark.x, mark.y, "yaxis"];
    if (x === null || y === null) return null;
    const [left, top] = [full.xaxis.d2p(x), full[axis].d2p(y)];
    const inside = left >= -1 && left <= full.xaxis._length + 1 && top >= -1 && top <= full[axis]._length + 1;
    return inside ? [left + full.xaxis._offset, top + full[axis]._offset] : null;
  }

  /** Data units and axis of a trial that is drawn one by one. */
  drawnAt(trial) {
    if (!this.places) {
      this.places = new Map();
      for (const trace of this.plot._fullData) {
        if (!trace.customdata || !trace.x || trace.type === "heatmap") continue;
        const axis = trace.yaxis?.replace("y", "yaxis") ?? "yaxis";
        Array.from(trace.customdata).forEach((name, at) => this.places.set(name, [trace.x[at], trace.y[at], axis]));
      }
    }
    return this.places.get(trial);
  }

  layBudget(budget) {
    const { xaxis, yaxis } = this.plot._fullLayout;
    const at = (value) => Math.min(xaxis._length, Math.max(0, value >= budget.high ? xaxis._length : xaxis.d2p(value)));
    const beyond = element("div", "piip-beyond", this.over);
    const line = element("div", "piip-budget", this.over);
    const words = element("span", "", line);
    Object.assign(beyond.style, { top: `${yaxis._offset}px`, height: `${yaxis._length}px` });
    Object.assign(line.style, { top: `${yaxis._offset}px`, height: `${yaxis._length}px` });
    Object.entries({ role: "slider", "aria-label": `Budget in ${budget.unit}`, tabindex: 0 }).forEach((pair) =>
      line.setAttribute(...pair),
    );
    line.setAttribute("aria-valuemin", budget.low);
    line.setAttribute("aria-valuemax", budget.high);
    const put = (value) => {
      budget.value = value;
      const left = at(value);
      line.style.left = `${xaxis._offset + left}px`;
      beyond.style.left = `${xaxis._offset + left}px`;
      beyond.style.width = `${xaxis._length - left}px`;
      words.textContent = value >= budget.high ? "no limit" : `≤ ${Number(value.toPrecision(4))} ${budget.unit}`;
      words.className = left > xaxis._length * 0.7 ? "piip-left" : "";
      line.setAttribute("aria-valuenow", value);
      line.setAttribute("aria-valuetext", words.textContent);
    };
    const rounded = (value) => {
      const steps = Math.round((value - budget.low) / budget.step);
      return Math.min(budget.high, Math.max(budget.low, Number((budget.low + steps * budget.step).toPrecision(10))));
    };
    put(budget.value);
    line.onpointerdown = (event) => {
      line.setPointerCapture(event.pointerId);
      const edge = this.plot.getBoundingClientRect().left + xaxis._offset;
      line.onpointermove = (move) => {
        const pixel = move.clientX - edge;
        put(pixel >= xaxis._length - 2 ? budget.high : rounded(xaxis.p2d(pixel)));
      };
      line.onpointerup = () => {
        line.onpointermove = null;
        this.tell("budget", budget.value);
      };
      event.preventDefault();
      line.focus();
    };
    line.onkeydown = (event) => {
      const many = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10 }[event.key];
      if (!many) return;
      event.preventDefault();
      put(rounded(budget.value + many * budget.step));
      clearTimeout(this.sending);
      this.sending = setTimeout(() => this.tell("budget", budget.value), 250);
    };
  }

  // ---- Keys

  /** Do what a key means on this chart; return whether it means anything. */
  hear(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const { walk } = this.state;
    if (by && walk.length) {
      this.step(by);
      return true;
    }
    const meaning = { Escape: "clear", p: "pin", c: "compare" }[event.key];
    if (meaning && walk.length) this.tell("key", meaning);
    return Boolean(meaning);
  }

  /** Select the next trial along the front at once; Python hears of it and answers with the same marks. */
  step(by) {
    const { walk, marks } = this.state;
    const at = walk.indexOf(marks.find((mark) => mark.selected)?.trial);
    const to = at < 0 ? (by > 0 ? 0 : walk.length - 1) : Math.min(walk.length - 1, Math.max(0, at + by));
    const others = marks.filter((mark) => !mark.selected);
    const color = "var(--st-text-color)";
    this.state.marks = [...others, { trial: walk[to], x: null, y: null, color, label: "", selected: true }];
    this.lay();
    this.tell("pick", { points: [walk[to]], boxes: [], lassos: [], add: false });
  }

  // ---- Axes

  /** Put round numbers on logarithmic axes, unless those of the estimated range fit the actual one. */
  tickLogAxes() {
    const full = this.plot._fullLayout;
    const change = {};
    for (const name of Object.keys(full).filter((name) => /^[xy]axis\d*$/.test(name))) {
      if (full[name].type !== "log") continue;
      const [low, high] = full[name].range.map((end) => 10 ** end).sort((one, other) => one - other);
      const found = ticks(low, high);
      const seen = (values) => JSON.stringify((values ?? []).filter((value) => value >= low && value <= high));
      if (seen(found.tickvals) === seen(full[name].tickvals)) continue; // drawing again takes as long as half a chart
      for (const [key, values] of Object.entries(found)) change[`${name}.${key}`] = values;
    }
    if (Object.keys(change).length) window.Plotly.relayout(this.plot, change);
  }

  // ---- Parallel coordinates

  get dimensions() {
    return this.plot.data?.find((trace) => trace.type === "parcoords")?.dimensions ?? [];
  }

  brushed() {
    const kept = this.dimensions
      .filter((axis) => axis.constraintrange?.length)
      .map((axis) => [axis.label, pairs(rounded(axis.constraintrange))]);
    this.tell("brush", Object.fromEntries(kept));
  }

  /** Keep these ranges and no others. */
  async brush(kept) {
    const change = {};
    this.dimensions.forEach((axis, at) => {
      const wanted = kept[axis.label] ?? [];
      const now = rounded(axis.constraintrange ?? []);
      if (JSON.stringify(now) !== JSON.stringify(wanted.flat())) {
        change[`dimensions[${at}].constraintrange`] = wanted.length ? [wanted.length > 1 ? wanted : wanted[0]] : null;
      }
    });
    if (!Object.keys(change).length) return;
    this.brushing = true;
    await window.Plotly.restyle(this.plot, change);
    this.brushing = false;
  }

  close() {
    window.Plotly?.purge(this.plot);
    this.frame.parentElement.remove();
  }
}

const rounded = (ends) => [ends].flat(1 / 0).map((end) => Number(end.toPrecision(4)));
const pairs = (ends) => Array.from({ length: ends.length / 2 }, (_, at) => ends.slice(2 * at, 2 * at + 2));

function element(kind, className, parent) {
  const made = document.createElement(kind);
  made.className = className;
  parent.append(made);
  return made;
}

/** Round numbers, eight or fewer from `low` to `high`, and a decade beyond; Plotly's own are "2 3 4 … 9". */
function ticks(low, high) {
  const powers = [];
  for (let power = Math.floor(Math.log10(low)) - 1; power <= Math.log10(high) + 1; power++) powers.push(power);
  const numbers = [[1, 1.5, 2, 3, 4, 5, 6, 8], [1, 2, 5], [1]].map((steps) =>
    powers.flatMap((power) => steps.map((step) => Number((step * 10 ** power).toPrecision(3)))),
  );
  const few = (some) => some.filter((number) => number >= low && number <= high).length <= 8;
  const tickvals = numbers.find(few) ?? numbers.at(-1);
  return { tickvals, ticktext: tickvals.map((value) => value.toLocaleString("en-US", { maximumSignificantDigits: 4 })) };
}

/** About the range that Plotly will choose for a logarithmic axis: that of the data and 5 % at both ends. */
function extent(traces, name) {
  const [letter, short] = [name[0], name.replace("axis", "")];
  let [low, high] = [Infinity, -Infinity];
  for (const trace of traces) {
    if ((trace[`${letter}axis`] ?? letter) !== short) continue;
    for (const value of numbersOf(trace[letter])) {
      if (value > 0) [low, high] = [Math.min(low, value), Math.max(high, value)];
    }
  }
  if (low > high) return [1, 10];
  const margin = (high / low) ** 0.05;
  return [low / margin, high * margin];
}

const KINDS = { f4: Float32Array, f8: Float64Array, i1: Int8Array, i2: Int16Array, i4: Int32Array, u1: Uint8Array,
  u2: Uint16Array, u4: Uint32Array };

/** The numbers of a column as plotly.py writes it: a list, or bytes in base 64. */
function numbersOf(column) {
  if (!column?.bdata) return column ?? [];
  return new KINDS[column.dtype](Uint8Array.from(atob(column.bdata), (byte) => byte.charCodeAt(0)).buffer);
}

/** Colours and fonts of the page as Plotly's template. */
function themeOf(parent) {
  const style = getComputedStyle(parent);
  const of = (name) => style.getPropertyValue(`--st-${name}`).trim();
  const text = of("text-color");
  const axis = {
    automargin: true,
    gridcolor: "rgba(138, 143, 152, 0.25)",
    zeroline: false,
    title: { font: { color: text, size: 13 }, standoff: 8 },
    tickfont: { color: text, size: 12 },
    linecolor: of("border-color"),
  };
  return {
    layout: {
      font: { family: of("font") || "sans-serif", color: text, size: 13 },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      xaxis: axis,
      yaxis: axis,
      hoverlabel: { bgcolor: of("secondary-background-color"), bordercolor: of("border-color"), font: { color: text } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: "#8A8F98", activecolor: of("primary-color") },
    },
  };
}

function configOf(Plotly, picks) {
  const png = {
    name: "png",
    title: "Download as PNG",
    icon: Plotly.Icons.camera,
    click: (plot) => Plotly.downloadImage(plot, { format: "png", scale: 2, filename: "piip-explore" }),
  };
  const svg = {
    name: "svg",
    title: "Download as SVG",
    icon: Plotly.Icons.disk,
    click: (plot) => Plotly.downloadImage(plot, { format: "svg", filename: "piip-explore" }),
  };
  const select = ["select2d", "lasso2d"];
  return {
    displaylogo: false,
    responsive: true,
    displayModeBar: isTouch() ? false : "hover",
    modeBarButtonsToRemove: ["autoScale2d", "toImage", ...(picks ? [] : select)],
    modeBarButtonsToAdd: [...(picks ? select : []), png, svg],
  };
}

/* Keys act on the chart with a front wherever the focus is, except where they mean something else. */
const BUSY = "input, textarea, select, canvas, [contenteditable], [role=slider], [role=radiogroup], [role=tablist], " +
  "[role=listbox], [role=grid], [role=dialog]";
window.piipKeys?.abort();
window.piipKeys = new AbortController();
document.addEventListener(
  "keydown",
  (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.(BUSY)) return;
    for (const chart of charts.values()) if (chart.hear(event)) event.preventDefault();
  },
  { signal: window.piipKeys.signal },
);
