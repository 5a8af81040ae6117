// Each stage on the way to the first sound, as a small timeline.

const STAGES = [
  ["opening", "Opening", "the connection and the sound device, where they were not open yet"],
  ["waiting", "Waiting", "in the service, for enough text and for a place"],
  ["text", "Text", "normalized and made phonemes"],
  ["networks", "Networks", "encoders, decoder and vocoder, waiting for a processor included"],
  ["signal", "Signal", "what blocks compute themselves"],
  ["other", "Other", "everything else in the service"],
  ["way", "On the way", "to the service and back"],
  ["player", "Playback", "the page's buffer and the sound device"],
];

// `marks`: pressed, sent, arrived, heard in milliseconds of performance.now(); server: {seconds, stages}.
export function stagesOf({ pressed, sent, arrived, heard, server }) {
  const took = { opening: sent - pressed, player: heard - arrived };
  let left = 1000 * server.seconds;
  for (const name of ["waiting", "text", "networks", "signal"]) {
    // Where the next stretch is made already, its stages are none of the first one's.
    took[name] = Math.min(1000 * (server.stages[name] ?? 0), left);
    left -= took[name];
  }
  took.other = left;
  took.way = Math.max(0, arrived - sent - 1000 * server.seconds);
  return took;
}

const milliseconds = (value) => (value < 9.95 ? value.toFixed(1) : Math.round(value).toString()) + " ms";

// `since`: what happened at `marks.pressed`.
export function showLatency(box, marks, since) {
  const took = stagesOf(marks);
  const total = Object.values(took).reduce((sum, value) => sum + value, 0);
  const summary = document.createElement("p");
  summary.className = "summary";
  const strong = document.createElement("strong");
  strong.textContent = milliseconds(marks.heard - marks.pressed);
  summary.append(
    "Heard ",
    strong,
    ` after ${since}; the service had the first audio ${milliseconds(1000 * marks.server.seconds)} after it was asked.`,
  );
  const list = document.createElement("ol");
  list.className = "stages";
  let at = 0;
  for (const [name, title, meaning] of STAGES) {
    const item = document.createElement("li");
    item.dataset.stage = name;
    item.title = meaning;
    const label = document.createElement("span");
    label.className = "label";
    label.textContent = title;
    const track = document.createElement("span");
    track.className = "track";
    const bar = document.createElement("span");
    bar.className = "bar";
    bar.style.insetInlineStart = `${(100 * at) / total}%`;
    bar.style.inlineSize = `${(100 * took[name]) / total}%`;
    track.append(bar);
    const value = document.createElement("data");
    value.value = took[name].toFixed(2);
    value.textContent = milliseconds(took[name]);
    item.append(label, track, value);
    list.append(item);
    at += took[name];
  }
  box.replaceChildren(summary, list);
}
