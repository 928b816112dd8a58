// The time line: rows, zoom, and what is told of the second under the pointer.

const CLOSEST = 120; // pixels a second, at the largest zoom
const ZOOM = 1.6;
const tracks = document.getElementById("tracks");
const scroller = document.getElementById("scroller");
const hint = document.getElementById("hint");
const playhead = make("div");
const column = make("div");
const ruler = row("ruler");
const ticks = make("div", "ticks");
const strip = data.thumbnails.length ? row("strip", "picture") : null;
let fitted = true;

function build() {
  const overlay = make("div");
  overlay.id = "overlay";
  overlay.append(column, playhead);
  playhead.id = "playhead";
  column.id = "column";
  column.hidden = true;
  tracks.classList.toggle("with-truth", Boolean(data.truth));
  tracks.append(overlay, ruler);
  ruler.lastChild.append(ticks);
  if (strip) tracks.append(strip);
  if (data.wave) tracks.append(waveRow());
  showAll(false);
}

/** Adds the rows of the other classes, or takes them away. */
function showAll(all) {
  for (const element of tracks.querySelectorAll(".class-row, .empty-row")) element.remove();
  const shown = data.classes.map((_, index) => index).filter((index) => all || isShown(index));
  tracks.append(...shown.map(classRow));
  if (!shown.length) tracks.append(make("div", "empty-row", "No event in this file. The switch shows all probabilities."));
}

function gutterWidth() {
  return ruler.firstChild.offsetWidth;
}

/** Pixels of the time line that are on screen. */
function room() {
  return Math.max(scroller.clientWidth - gutterWidth(), 60);
}

function timeWidth() {
  return ruler.lastChild.offsetWidth;
}

/** Sets the zoom and keeps a moment where it is on screen. */
function zoomTo(pixelsPerSecond, seconds) {
  const before = (seconds / data.seconds) * timeWidth() - scroller.scrollLeft;
  const least = room() / data.seconds;
  const most = Math.max(CLOSEST, least);
  const chosen = Math.min(Math.max(pixelsPerSecond, least), most);
  fitted = chosen <= least * 1.001;
  tracks.style.setProperty("--time-width", fitted ? `${room()}px` : `${chosen * data.seconds}px`);
  fillRuler(ticks, chosen);
  if (strip) fillStrip(strip.lastChild, chosen);
  scroller.scrollLeft = (seconds / data.seconds) * timeWidth() - before;
  document.getElementById("out").disabled = document.getElementById("fit").disabled = fitted;
  document.getElementById("in").disabled = chosen >= most * 0.999;
}

function pixelsPerSecond() {
  return timeWidth() / data.seconds;
}

/** The moment under a place on screen; null left of the time line. */
function secondsAt(clientX) {
  const box = ruler.lastChild.getBoundingClientRect();
  const visible = scroller.getBoundingClientRect().left + gutterWidth();
  if (clientX < visible || clientX > box.right) return null;
  return Math.min(Math.max(((clientX - box.left) / box.width) * data.seconds, 0), data.seconds);
}

/** Keeps the playhead on screen. */
function follow(seconds) {
  const at = (seconds / data.seconds) * timeWidth();
  if (at < scroller.scrollLeft || at > scroller.scrollLeft + room()) scroller.scrollLeft = at - room() * 0.1;
}

function pointAt(event) {
  const seconds = secondsAt(event.clientX);
  if (seconds === null) return unpoint();
  const segment = segmentAt(seconds);
  place(column, segment * data.step, Math.min((segment + 1) * data.step, data.seconds)).hidden = false;
  const found = event.target.closest(".class-row");
  hint.hidden = false;
  hint.replaceChildren(...(found ? tellOfClass(Number(found.dataset.place), segment) : [spanOf(segment)]));
  const [width, height] = [hint.offsetWidth, hint.offsetHeight];
  const left = Math.min(event.clientX + 14, window.innerWidth - width - 8);
  const below = event.clientY + 18 + height < window.innerHeight;
  hint.style.transform = `translate(${Math.max(left, 8)}px, ${below ? event.clientY + 18 : event.clientY - height - 12}px)`;
}

function unpoint() {
  hint.hidden = column.hidden = true;
}

function spanOf(segment) {
  const end = Math.min((segment + 1) * data.step, data.seconds);
  return make("span", "", `${clock(segment * data.step)} to ${clock(end)}`);
}

/** A class in a second: probabilities, thresholds, decisions and annotations. */
function tellOfClass(index, segment) {
  const table = make("table");
  const now = eventsAt(Math.min((segment + 0.5) * data.step, data.seconds - 1e-6));
  for (const modality of MODALITIES) {
    const level = probability(modality, index, segment);
    const threshold = thresholdOf(modality, index);
    const line = make("tr");
    const blind = blindness(modality, index);
    const decided = now.some((event) => event.place === index && event.modality === modality);
    const truth = isTrue(modality, index, segment);
    const words = [decided ? WORDS[modality] : `not ${WORDS[modality]}`];
    if (threshold !== undefined) words.push(`threshold ${threshold.toFixed(2)}`);
    if (truth !== undefined) words.push(truth ? "annotated" : "not annotated");
    const number = level === null || level === undefined ? "not looked at" : level.toFixed(4);
    line.append(make("td", "", modality));
    if (blind) line.append(make("td", "", blind));
    else line.append(make("td", "", number), make("td", "", words.join(", ")));
    line.lastChild.colSpan = blind ? 2 : 1;
    table.append(line);
  }
  return [make("b", "", data.classes[index]), spanOf(segment), table];
}
