// The player: one clock for video, playhead, tables and keys.

const video = document.getElementById("video");
const time = document.getElementById("time");
const nowList = document.getElementById("now");
const eventRows = [...document.querySelectorAll("#events tbody tr")];
let still = 0; // the moment, where no video can be played
let told = -1; // the segment that the list beside the video tells of

function isPlayable() {
  return !video.error && video.networkState !== HTMLMediaElement.NETWORK_NO_SOURCE;
}

function moment() {
  return isPlayable() ? video.currentTime : still;
}

/** Goes to a moment; a playing video plays on from there. */
function seek(seconds) {
  still = Math.min(Math.max(seconds, 0), data.seconds);
  if (isPlayable()) video.currentTime = still;
  paint(still);
  follow(still);
}

function paint(seconds) {
  playhead.style.left = `${(100 * Math.min(seconds, data.seconds)) / data.seconds}%`;
  time.value = clock(Math.floor(seconds));
  const segment = segmentAt(seconds);
  if (segment === told) return;
  told = segment;
  tellNow(Math.min((segment + 0.5) * data.step, data.seconds - 1e-6), segment);
}

/** The list beside the video, and the rows of the table that are going on. */
function tellNow(seconds, segment) {
  const events = eventsAt(seconds);
  const places = [...new Set(events.map((event) => event.place))];
  nowList.replaceChildren(
    ...places.map((index) => {
      const here = events.filter((event) => event.place === index).map((event) => event.modality);
      const item = make("li");
      const kind = here.length === 2 ? "both" : WORDS[here[0]];
      const levels = MODALITIES.filter((modality) => here.includes(modality)).map((modality) => {
        const level = probability(modality, index, segment);
        return `${WORDS[modality]} ${level === null ? "" : level.toFixed(2)}`;
      });
      item.append(make("i", `mark ${kind}`), make("b", "", data.classes[index]), make("span", "", levels.join(" · ")));
      return item;
    }),
  );
  if (!places.length) nowList.append(make("li", "empty", "nothing that the model knows"));
  for (const line of eventRows) {
    const playing = Number(line.dataset.start) <= seconds && seconds < Number(line.dataset.end);
    line.classList.toggle("playing", playing);
  }
  showRow(eventRows.find((line) => line.classList.contains("playing")));
}

/** Scrolls the table, not the page, to a row, unless somebody is at the table. */
function showRow(line) {
  if (!line || line.closest(".scrolls:hover, .scrolls:focus-within")) return;
  const box = line.closest(".scrolls");
  const above = line.offsetTop - box.querySelector("thead").offsetHeight;
  if (above < box.scrollTop || line.offsetTop + line.offsetHeight > box.scrollTop + box.clientHeight) box.scrollTop = above;
}

function tick() {
  paint(video.currentTime);
  follow(video.currentTime);
  if (!video.paused && !video.ended) requestAnimationFrame(tick);
}

function togglePlay() {
  if (!isPlayable()) return;
  if (video.paused) video.play().catch(() => {});
  else video.pause();
}

/** Moves by whole segments: a first step back goes to the start of the segment that is playing. */
function step(count) {
  const at = moment() / data.step;
  seek((count > 0 ? Math.floor(at + 1e-3) + count : Math.ceil(at - 1e-3) + count) * data.step);
}

function onKey(event) {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const pressed = target.closest("button, summary, input, a");
  if (pressed && (key === " " || key === "Enter")) return;
  const actions = {
    " ": togglePlay,
    ArrowLeft: () => step(event.shiftKey ? -10 : -1),
    ArrowRight: () => step(event.shiftKey ? 10 : 1),
    Home: () => seek(0),
    End: () => seek(data.seconds - 0.01),
    "+": () => zoomTo(pixelsPerSecond() * ZOOM, moment()),
    "=": () => zoomTo(pixelsPerSecond() * ZOOM, moment()),
    "-": () => zoomTo(pixelsPerSecond() / ZOOM, moment()),
  };
  if (!actions[key]) return;
  event.preventDefault();
  actions[key]();
}

function onWheel(event) {
  if (!event.ctrlKey) return;
  const seconds = secondsAt(event.clientX);
  if (seconds === null) return;
  event.preventDefault();
  zoomTo(pixelsPerSecond() * Math.exp(-event.deltaY / 300), seconds);
}

function listen() {
  scroller.addEventListener("click", (event) => {
    const seconds = secondsAt(event.clientX);
    if (seconds !== null) seek(segmentAt(seconds) * data.step);
  });
  scroller.addEventListener("pointermove", pointAt);
  scroller.addEventListener("pointerleave", unpoint);
  scroller.addEventListener("wheel", onWheel, { passive: false });
  document.addEventListener("keydown", onKey, true);
  document.getElementById("all").addEventListener("change", (event) => showAll(event.target.checked));
  document.getElementById("fit").addEventListener("click", () => zoomTo(0, moment()));
  document.getElementById("in").addEventListener("click", () => zoomTo(pixelsPerSecond() * ZOOM, moment()));
  document.getElementById("out").addEventListener("click", () => zoomTo(pixelsPerSecond() / ZOOM, moment()));
  for (const line of eventRows) line.addEventListener("click", () => seek(Number(line.dataset.start)));
  video.addEventListener("play", tick);
  for (const name of ["seeked", "timeupdate", "loadedmetadata"]) {
    video.addEventListener(name, () => paint(video.currentTime));
  }
  video.addEventListener("error", () => {
    document.getElementById("missing").hidden = false;
  });
  new ResizeObserver(() => zoomTo(fitted ? 0 : pixelsPerSecond(), moment())).observe(scroller);
}

build();
zoomTo(0, 0);
listen();
paint(moment());
if (video.error) document.getElementById("missing").hidden = false;
