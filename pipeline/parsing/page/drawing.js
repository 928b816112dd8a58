// Makes elements: nothing here knows where the playhead is.

const SVG = "http://www.w3.org/2000/svg";
const [LOWEST, HIGHEST] = [46, 84]; // pixels, of a thumbnail

/** An element with a class and a text; texts are never read as HTML. */
function make(tag, className = "", words = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (words) element.textContent = words;
  return element;
}

/** Puts an element over a span of the time line, whatever its width in pixels. */
function place(element, start, end) {
  element.style.left = `${(100 * start) / data.seconds}%`;
  element.style.width = `${(100 * (end - start)) / data.seconds}%`;
  return element;
}

/** A drawing that is stretched over its parent: x in its own units, y likewise. */
function drawing(box, paths) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", box);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  for (const [className, shape] of paths) {
    if (!shape) continue;
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("class", className);
    path.setAttribute("d", shape);
    svg.append(path);
  }
  return svg;
}

/** A row of the time line: what stays at the left, and what scrolls. */
function row(className, ...gutter) {
  const element = make("div", `row ${className}`);
  const left = make("div", "gutter");
  left.append(...gutter);
  element.append(left, make("div", "time"));
  return element;
}

function waveRow() {
  const bytes = Uint8Array.from(atob(data.wave.levels), (letter) => letter.charCodeAt(0));
  const levels = new Int8Array(bytes.buffer);
  const count = levels.length / 2;
  let shape = "";
  for (let first = 0; first < count; first++) {
    if (levels[2 * first] === -128) continue;
    let stop = first;
    while (stop < count && levels[2 * stop] !== -128) stop++;
    let [top, bottom] = ["", ""];
    for (let step = first; step < stop; step++) {
      top += `L${step + 0.5} ${-Math.max(levels[2 * step + 1], 1)}`;
      bottom = `L${step + 0.5} ${-Math.min(levels[2 * step], -1)}${bottom}`;
    }
    shape += `M${first} 0${top}L${stop} 0${bottom}Z`;
    first = stop;
  }
  const element = row("wave", "sound");
  const svg = drawing(`0 -127 ${count} 254`, [["wave", shape]]);
  element.lastChild.append(place(svg, 0, count * data.wave.step));
  return element;
}

/** Thumbnails, each at its second, as many as have room beside each other. */
function fillStrip(element, pixelsPerSecond) {
  const pictures = data.thumbnails;
  const every = pictures.length > 1 ? pictures[1][0] - pictures[0][0] : 1;
  const room = Math.max(every * pixelsPerSecond, 1);
  const stride = Math.max(1, Math.ceil((LOWEST * data.aspect) / room - 0.25));
  const height = Math.min(Math.max((room * stride) / data.aspect, LOWEST), HIGHEST);
  const seconds = Math.min(room * stride, height * data.aspect) / pixelsPerSecond;
  element.style.height = `${height}px`;
  element.replaceChildren();
  for (let at = 0; at < pictures.length; at += stride) {
    const picture = make("img");
    picture.alt = "";
    picture.decoding = "async";
    picture.src = `data:image/jpeg;base64,${pictures[at][1]}`;
    element.append(place(picture, pictures[at][0], pictures[at][0] + seconds));
  }
}

function fillRuler(element, pixelsPerSecond) {
  const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];
  const step = steps.find((seconds) => seconds * pixelsPerSecond >= 58) || 7200;
  element.replaceChildren();
  for (let seconds = 0; (data.seconds - seconds) * pixelsPerSecond > 20; seconds += step) {
    const tick = make("div", "tick", clock(seconds));
    tick.style.left = `${(100 * seconds) / data.seconds}%`;
    element.append(tick);
  }
}

/** The row of a class: probabilities upwards for what is heard, downwards for what is seen, and its events. */
function classRow(index) {
  const name = make("b");
  for (const part of data.classes[index].split(/(?<=[_/ -])/)) name.append(part, make("wbr"));
  name.title = data.classes[index];
  const lanes = make("span", "lanes");
  for (const modality of MODALITIES) {
    lanes.append(make("span", "", blindness(modality, index) ? "–" : WORDS[modality]));
  }
  const element = row("class-row", name, lanes);
  element.dataset.place = index;
  const plot = make("div", "plot");
  const pieces = piecesOf(index);
  for (const modality of MODALITIES) {
    if (blindness(modality, index)) plot.append(make("div", `blind ${modality}`));
  }
  for (const piece of pieces) {
    const edges = `${piece.begins ? " begins" : ""}${piece.ends ? " ends" : ""}`;
    plot.append(place(make("div", `block ${piece.kind}${edges}`), piece.start, piece.end));
  }
  plot.append(drawing(`0 0 ${data.seconds} 2`, MODALITIES.flatMap((modality) => curve(modality, index, pieces))));
  element.lastChild.append(plot, ...annotated(index));
  return element;
}

/** Bars of a modality's probabilities, by what the segment was decided to be, and the line of the threshold. */
function curve(modality, index, pieces) {
  if (blindness(modality, index)) return [];
  const up = modality === "audio" ? -1 : 1;
  const shapes = { idle: "", both: "", [WORDS[modality]]: "" };
  let next = 0; // the first piece that has not ended yet
  for (let segment = 0; segment < data.segments; segment++) {
    const level = probability(modality, index, segment);
    if (!level) continue;
    const [start, end] = [segment * data.step, Math.min((segment + 1) * data.step, data.seconds)];
    const middle = (start + end) / 2;
    while (next < pieces.length && pieces[next].end <= middle) next++;
    const piece = next < pieces.length && pieces[next].start <= middle ? pieces[next] : null;
    const kind = piece && shapes[piece.kind] !== undefined ? piece.kind : "idle";
    shapes[kind] += `M${start} 1V${1 + up * level}H${end}V1Z`;
  }
  const threshold = thresholdOf(modality, index);
  const line = threshold > 0 && threshold <= 1 ? `M0 ${1 + up * threshold}H${data.seconds}` : "";
  return [...Object.entries(shapes), ["level", line]];
}

/** Outlines of what people annotated. */
function annotated(index) {
  if (!data.truth) return [];
  return MODALITIES.flatMap((modality) => {
    const runs = (data.truth[modality] && data.truth[modality][index]) || [];
    return runs.map(([first, stop]) =>
      place(make("div", `true ${modality}`), first * data.step, Math.min(stop * data.step, data.seconds)),
    );
  });
}
