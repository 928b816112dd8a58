"use strict";
// What the page knows: the data that it was made with, and questions about it.

const data = JSON.parse(document.getElementById("data").textContent);
const MODALITIES = ["audio", "visual"];
const WORDS = { audio: "heard", visual: "seen" };
const PARTS = 10000;

/** Events of one class, each as {start, end, modality, mean, peak}. */
function eventsOf(place) {
  return allEvents.filter((event) => event.place === place);
}

const allEvents = data.events.map(([place, modality, start, end, mean, peak]) => ({
  place, modality, start, end, mean, peak,
}));

/** The events that cover a moment. */
function eventsAt(seconds) {
  return allEvents.filter((event) => event.start <= seconds && seconds < event.end);
}

/** Cuts the events of a class into pieces that are heard, seen or both, in order of time. */
function piecesOf(place) {
  const events = eventsOf(place);
  const cuts = [...new Set(events.flatMap((event) => [event.start, event.end]))].sort((a, b) => a - b);
  const pieces = [];
  for (let at = 0; at + 1 < cuts.length; at++) {
    const [start, end] = [cuts[at], cuts[at + 1]];
    const inside = events.filter((event) => event.start <= start && end <= event.end);
    if (!inside.length) continue;
    const kinds = new Set(inside.map((event) => WORDS[event.modality]));
    pieces.push({
      start,
      end,
      kind: kinds.size === 2 ? "both" : [...kinds][0],
      begins: inside.some((event) => event.start === start),
      ends: inside.some((event) => event.end === end),
    });
  }
  return pieces;
}

/** Whether a class has events or annotations. */
function isShown(place) {
  const annotated = data.truth && MODALITIES.some((name) => data.truth[name] && data.truth[name][place]);
  return Boolean(annotated) || allEvents.some((event) => event.place === place);
}

/** The probability of a class in a segment; null where the segment was not looked at, undefined without the modality. */
function probability(modality, place, segment) {
  const grid = data.probabilities[modality];
  if (!grid) return undefined;
  const parts = grid[place][segment];
  return parts === null || parts === undefined ? null : parts / PARTS;
}

/** The threshold of a class; undefined where there is none. */
function thresholdOf(modality, place) {
  const levels = data.thresholds[modality];
  return levels && levels[place] !== null ? levels[place] : undefined;
}

/** Whether a class is annotated in a segment; undefined where nobody looked. */
function isTrue(modality, place, segment) {
  const covers = (runs) => runs.some(([first, stop]) => first <= segment && segment < stop);
  if (!data.truth || !data.truth[modality] || !covers(data.truth.known)) return undefined;
  return covers(data.truth[modality][place] || []);
}

/** Why a lane can show nothing; empty where it can. */
function blindness(modality, place) {
  if (!data.probabilities[modality]) return modality === "audio" ? "no sound" : "no picture";
  return data.unknown[modality].includes(place) ? `cannot be ${WORDS[modality]} by this model` : "";
}

function segmentAt(seconds) {
  return Math.min(Math.max(Math.floor(seconds / data.step + 1e-6), 0), Math.max(data.segments - 1, 0));
}

/** A time as players show it; tenths where there are some. */
function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  const pad = (number) => String(number).padStart(2, "0");
  const [hours, minutes, rest] = [Math.floor(tenths / 36000), Math.floor(tenths / 600) % 60, Math.floor(tenths / 10) % 60];
  const whole = hours ? `${hours}:${pad(minutes)}` : `${minutes}`;
  return `${whole}:${pad(rest)}${tenths % 10 ? `.${tenths % 10}` : ""}`;
}
