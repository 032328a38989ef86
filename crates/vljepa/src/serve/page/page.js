"use strict";
const $ = (id) => document.getElementById(id);
const SVG = "http://www.w3.org/2000/svg";
const make = (name, fields = {}, ...children) => {
  const node = Object.assign(document.createElement(name), fields);
  node.append(...children);
  return node;
};
const draw = (name, fields) => {
  const node = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(fields)) node.setAttribute(key, value);
  return node;
};
const clock = (seconds) => {
  const tenths = Math.max(0, Math.round(seconds * 10));
  const whole = Math.floor(tenths / 10);
  const two = (n) => String(n).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  return (hours ? hours + ":" + two(Math.floor(whole / 60) % 60) : String(Math.floor(whole / 60))) + ":" + two(whole % 60) + "." + (tenths % 10);
};
const score = (value) => value.toFixed(3).replace("-", "\u2212");
const say = (id, text) => {
  $(id).textContent = text;
  $(id).hidden = !text;
};

// Requests

let key = sessionStorage.getItem("vljepa-key") || "";
let askingForKey = null;
const headers = () => (key ? { Authorization: "Bearer " + key } : {});

// Asks for the key until the server takes it.
function askForKey(message) {
  say("key-fault", message);
  if (!askingForKey) {
    askingForKey = new Promise((resolve) => {
      const dialog = $("key-dialog");
      dialog.addEventListener("close", () => {
        key = $("key").value.trim();
        sessionStorage.setItem("vljepa-key", key);
        askingForKey = null;
        resolve();
      }, { once: true });
      dialog.addEventListener("cancel", (event) => event.preventDefault());
      dialog.showModal();
      $("key").select();
    });
  }
  return askingForKey;
}

async function reasonOf(response) {
  try {
    return (await response.json()).error.message;
  } catch {
    return "the server answered with status " + response.status;
  }
}

async function call(path, options = {}) {
  for (;;) {
    const response = await fetch(path, { ...options, headers: { ...options.headers, ...headers() } }).catch(() => {
      throw new Error("the server does not answer; is it still running?");
    });
    if (response.status === 401) {
      await askForKey(key ? "This key is not the right one." : "");
      continue;
    }
    if (!response.ok) throw new Error(await reasonOf(response));
    return response;
  }
}

const read = async (path, options) => (await call(path, options)).json();
const post = (path, body) =>
  read(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

// The streams

let streams = [];
let facts = {};
let current = null;

// What is known of the stream that is shown.
const empty = (id) => ({
  id, about: null, phase: "running", windows: [], pictures: [], told: [], alerts: [], segments: [], counts: {},
  sentence: "", message: "", watched: new Map(), last: 0, following: new AbortController(), lookingAt: null, begun: performance.now(),
});

async function loadStreams(select) {
  const list = await read("/api/streams");
  streams = list.streams;
  showStreams();
  const wanted = select || (current && streams.some((s) => s.stream === current.id) ? null : streams[0] && streams[0].stream);
  if (wanted) follow(wanted);
  if (!streams.length) {
    current = null;
    showStage();
  }
}

function showStreams() {
  const had = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.stream : null;
  $("streams").replaceChildren(...streams.map((stream) => {
    const phase = current && current.id === stream.stream ? current.phase : stream.phase;
    const dot = make("span", { className: "dot" + (phase === "running" ? " runs" : phase === "failed" ? " bad" : "") });
    const button = make("button", { type: "button", title: stream.name + ", " + phase }, dot, make("span", { textContent: stream.name }));
    button.dataset.stream = stream.stream;
    button.setAttribute("aria-current", String(Boolean(current) && current.id === stream.stream));
    button.addEventListener("click", () => follow(stream.stream));
    return make("li", {}, button);
  }));
  if (had) document.querySelector(`[data-stream="${had}"]`)?.focus();
}

function follow(id) {
  if (current && current.id === id) return;
  if (current) current.following.abort();
  current = empty(id);
  const stream = streams.find((s) => s.stream === id);
  if (stream) current.about = stream;
  $("watched").replaceChildren();
  say("stream-fault", "");
  say("wait-fault", "");
  showStreams();
  showStage();
  listen(current);
}

// Reads server-sent events, and goes on where it was when the connection broke.
async function listen(stream) {
  const signal = stream.following.signal;
  for (let pause = 500; !signal.aborted; pause = Math.min(pause * 2, 10000)) {
    try {
      const response = await call(`/api/streams/${stream.id}/events`, { headers: { "Last-Event-ID": String(stream.last) }, signal });
      if (response.status === 204) return;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let held = "";
      for (;;) {
        const { done, value } = await reader.read();
        if (done) break;
        held += value;
        const parts = held.split("\n\n");
        held = parts.pop();
        for (const part of parts) {
          const fields = {};
          for (const line of part.split("\n")) {
            const colon = line.indexOf(":");
            if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 1).replace(/^ /, "");
          }
          if (fields.id) stream.last = Number(fields.id);
          if (fields.data) take(stream, JSON.parse(fields.data));
          pause = 500;
        }
      }
      if (stream.phase !== "running") return;
    } catch (error) {
      if (signal.aborted) return;
      if (stream === current) say("stream-fault", error.message);
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
}

// The card of a text or a question.
function watched(stream, kind, text) {
  const name = kind + ":" + text;
  if (!stream.watched.has(name)) stream.watched.set(name, { kind, text, points: [], now: null, on: false, answer: "", log: [], card: null });
  return stream.watched.get(name);
}

function take(stream, event) {
  const point = (item, end, value, on) => {
    const last = item.points[item.points.length - 1];
    if (!last || end > last[0]) item.points.push([end, value, on]);
    item.now = value;
    item.on = on;
  };
  switch (event.event) {
    case "started":
      stream.about = { ...stream.about, ...event };
      break;
    case "window":
      stream.windows.push([event.start_s, event.end_s, event.novelty, event.encoded]);
      if (event.picture) stream.pictures.push([event.end_s, event.picture]);
      for (const alert of event.alerts || []) point(watched(stream, "alert", alert.text), event.end_s, alert.score, alert.on);
      for (const held of event.questions || []) {
        const item = watched(stream, "question", held.question);
        point(item, event.end_s, held.score, false);
        item.answer = held.answer;
      }
      break;
    case "sentence":
      stream.told.push({ at: event.start_s, text: event.text, picture: event.picture });
      stream.sentence = event.text;
      break;
    case "waiting":
      watched(stream, "alert", event.text);
      break;
    case "alert": {
      const item = watched(stream, "alert", event.text);
      if (!item.log.some((log) => log.start_s === event.start_s)) {
        item.log.push(event);
        stream.told.push({ at: event.start_s, text: event.text, picture: event.picture, alert: event });
      }
      break;
    }
    case "asked":
      watched(stream, "question", event.question);
      break;
    case "answer": {
      const item = watched(stream, "question", event.question);
      if (!item.log.some((log) => log.start_s === event.start_s)) item.log.push(event);
      item.answer = event.text;
      break;
    }
    case "segments":
      stream.segments = event.segments;
      break;
    case "note":
      stream.message = event.text;
      break;
    case "ended":
      stream.phase = event.reason;
      stream.counts = event.counts;
      if (event.message) stream.message = event.message;
      showStreams();
      break;
    case "stopping":
      stream.message = "The server is stopping.";
      break;
  }
  schedule();
}

// Drawing

let scheduled = false;
function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    showStage();
  });
}

// Values over time as a curve: of many, the strongest of neighbours.
function curve(host, points, { from, to, low, high, area, marks = [], spans = [], at = null, label }) {
  const width = 1000, height = 100;
  const x = (time) => (width * (time - from)) / Math.max(to - from, 1e-9);
  const y = (value) => height - (height * (Math.min(Math.max(value, low), high) - low)) / Math.max(high - low, 1e-9);
  const svg = draw("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": label });
  svg.append(draw("line", { class: "base", x1: 0, x2: width, y1: height, y2: height }));
  for (const [start, end] of spans) svg.append(draw("rect", { class: "on", x: x(start), y: 0, width: Math.max(x(end) - x(start), 2), height }));
  const each = Math.max(1, Math.ceil(points.length / 600));
  const places = [];
  for (let i = 0; i < points.length; i += each) {
    let best = points[i];
    for (let j = i; j < Math.min(i + each, points.length); j++) if (points[j][1] > best[1]) best = points[j];
    places.push(`${x(best[0]).toFixed(1)},${y(best[1]).toFixed(1)}`);
  }
  if (places.length === 1) places.push(`${width},${places[0].split(",")[1]}`);
  if (places.length) {
    const first = places[0].split(",")[0], last = places[places.length - 1].split(",")[0];
    if (area) svg.append(draw("polygon", { class: "area", points: `${first},${height} ${places.join(" ")} ${last},${height}` }));
    svg.append(draw("polyline", { class: "path", points: places.join(" ") }));
  }
  for (const mark of marks) svg.append(draw("line", { class: "told-at", x1: x(mark), x2: x(mark), y1: 0, y2: height }));
  if (at !== null) svg.append(draw("line", { class: "at", x1: x(at), x2: x(at), y1: 0, y2: height }));
  host.replaceChildren(svg);
}

// Until the whole is cut into segments, each sentence holds to the next.
function segmentsOf(stream, end) {
  if (stream.segments.length) return stream.segments;
  const told = stream.told.filter((one) => !one.alert);
  return told.map((one, i) => ({ start_s: i ? one.at : stream.windows[0]?.[0] ?? one.at, end_s: told[i + 1]?.at ?? end, text: one.text }));
}

function atOrBefore(list, time) {
  let found = null;
  for (const one of list) if (one[0] <= time + 1e-9) found = one;
  return found || list[0] || null;
}

function showStage() {
  const stream = current;
  $("nothing").hidden = Boolean(stream);
  $("seen").hidden = !stream;
  $("wait-button").disabled = !stream;
  $("told-section").hidden = !stream || !stream.told.length;
  $("wait-hint").hidden = Boolean(stream && stream.watched.size);
  if (!stream) {
    $("watched").replaceChildren();
    return;
  }
  const from = stream.windows[0]?.[0] ?? 0;
  const end = stream.windows[stream.windows.length - 1]?.[1] ?? 0;
  const about = stream.about || {};
  const whole = stream.phase === "running" && about.duration_s ? Math.max(end, about.duration_s) : end;
  const to = Math.max(whole, from + 1e-6);
  const segments = segmentsOf(stream, end);
  const time = stream.lookingAt ?? end;
  const here = segments.findIndex((s) => s.start_s <= time + 1e-9 && time < s.end_s + 1e-9);
  const looksBack = stream.lookingAt !== null;

  const words = { running: about.live ? "live" : "watching", finished: "seen to the end", stopped: "stopped", failed: "failed", interrupted: "interrupted" };
  $("phase").textContent = words[stream.phase] || stream.phase;
  $("phase").className = "badge " + stream.phase;
  $("clock").textContent = clock(time) + (about.duration_s ? " of " + clock(about.duration_s) : "");
  $("stage").setAttribute("aria-label", "What is seen: " + (about.name || ""));
  const text = looksBack && here >= 0 ? segments[here].text : stream.sentence;
  const none = { running: "silent so far", failed: "", stopped: "stopped before anything was said" };
  const sentence = text || none[stream.phase] || (stream.windows.length ? "nothing to say" : "");
  if ($("sentence").textContent !== sentence) $("sentence").textContent = sentence;
  $("sentence").classList.toggle("none", !text);
  say("stream-fault", stream.message);

  const picture = atOrBefore(stream.pictures, time);
  $("picture").hidden = !picture;
  $("frame-none").hidden = Boolean(picture);
  $("frame-none").textContent = stream.phase === "running" ? "waiting for the first picture" : "no picture";
  if (picture && $("picture").src !== picture[1]) {
    $("picture").src = picture[1];
    $("picture").alt = "The video at " + clock(picture[0]);
  }

  const encoded = stream.windows.reduce((sum, w) => sum + (w[3] ? 1 : 0), 0);
  const told = stream.told.filter((one) => !one.alert);
  const rate = stream.windows.length / Math.max((performance.now() - stream.begun) / 1000, 0.1);
  const counts = [["windows", stream.windows.length], ["encoded", stream.windows.length ? Math.round((100 * encoded) / stream.windows.length) + " %" : "–"], ["sentences", told.length]];
  if (stream.phase === "running") counts.push(["windows a second", rate.toFixed(1)]);
  if (stream.counts.fidelity != null) counts.push(["kept state", stream.counts.fidelity.toFixed(3)]);
  if (stream.counts.frames_dropped) counts.push(["frames left out", stream.counts.frames_dropped]);
  $("counts").replaceChildren(...counts.map(([name, value]) => make("div", {}, make("dt", { textContent: name }), make("dd", { textContent: String(value) }))));
  $("stop").hidden = stream.phase !== "running";

  curve($("novelty"), stream.windows.map((w) => [(w[0] + w[1]) / 2, w[2]]), {
    from, to, low: 0, high: 1, area: true, marks: told.map((one) => one.at), at: looksBack ? time : null,
    label: `novelty from ${clock(from)} to ${clock(end)}; ${told.length} sentences`,
  });
  const bar = segments.map((segment, i) => {
    const item = make("li", { textContent: segment.text, title: `${clock(segment.start_s)} to ${clock(segment.end_s)}: ${segment.text}`, className: i === here ? "here" : "" });
    item.style.flexGrow = String(Math.max(segment.end_s - segment.start_s, 1e-3));
    return item;
  });
  if (whole > end + 1e-6 && segments.length) {
    const rest = make("li", { className: "rest" });
    rest.setAttribute("aria-hidden", "true");
    rest.style.flexGrow = String(whole - end);
    rest.style.visibility = "hidden";
    bar.push(rest);
  }
  $("segments").replaceChildren(...bar);
  const scrub = $("scrub");
  scrub.min = String(from);
  scrub.max = String(to);
  scrub.disabled = !stream.windows.length;
  if (!looksBack) scrub.value = String(end);
  scrub.setAttribute("aria-valuetext", clock(time) + (text ? ", " + text : ""));
  $("live").hidden = !looksBack;

  showTold(stream);
  showWatched(stream, from, to);
}

function showTold(stream) {
  const list = $("told");
  if (list.stream !== stream) {
    list.replaceChildren();
    list.stream = stream;
    list.shown = 0;
  }
  for (; list.shown < stream.told.length; list.shown++) {
    const one = stream.told[list.shown];
    const image = one.picture ? make("img", { src: one.picture, alt: "" }) : make("span", { className: "blank" });
    const when = one.alert ? `alert, ${clock(one.alert.start_s)} to ${clock(one.alert.end_s)}` : clock(one.at);
    const item = make("li", { className: one.alert ? "alert" : "" }, image, make("div", {}, make("time", { textContent: when }), make("p", { textContent: one.text })));
    list.prepend(item);
    if (list.children.length > 300) list.lastChild.remove();
  }
}

function showWatched(stream, from, to) {
  for (const item of stream.watched.values()) {
    if (!item.card) {
      item.card = make("li", {},
        make("div", { className: "top" }, make("span", { className: "what", textContent: item.text }), make("span", { className: "score" })),
        make("p", { className: "answer", hidden: true }), make("div", { className: "curve" }), make("p", { className: "said", hidden: true }));
      $("watched").prepend(item.card);
    }
    const [number, answer, host, said] = [".score", ".answer", ".curve", ".said"].map((name) => item.card.querySelector(name));
    number.textContent = item.now === null ? "" : (item.on ? "on " : "") + score(item.now);
    number.classList.toggle("on", item.on);
    answer.hidden = !item.answer;
    answer.textContent = item.answer;
    const values = item.points.map((p) => p[1]);
    const high = values.reduce((a, b) => Math.max(a, b), 0.3), low = values.reduce((a, b) => Math.min(a, b), 0);
    host.hidden = !values.length;
    const what = item.kind === "alert" ? "closeness to " : "how well the answer holds: ";
    curve(host, item.points, { from, to, low, high, area: true, spans: item.kind === "alert" ? item.log.map((e) => [e.start_s, e.end_s]) : [], label: `${what}${item.text}, now ${item.now === null ? "unknown" : score(item.now)}` });
    const lines = item.kind === "alert"
      ? item.log.slice(-3).map((e) => `${clock(e.start_s)} to ${clock(e.end_s)}, ${score(e.score)}`)
      : item.log.slice(-4).map((e) => `${clock(e.start_s)} ${e.text}`);
    said.hidden = !lines.length;
    said.textContent = lines.join(" · ");
  }
}

// What people do

function uploading(part, words) {
  document.querySelector(".drop-words").hidden = part !== null;
  $("drop-state").hidden = part === null;
  if (part === null) return;
  if (part < 1) $("progress").value = part;
  else $("progress").removeAttribute("value");
  $("progress-words").textContent = words;
}

function upload(file) {
  say("source-fault", "");
  if (facts.max_upload && file.size > facts.max_upload) {
    say("source-fault", `${file.name} has ${Math.ceil(file.size / 2 ** 20)} MiB; this server takes ${facts.max_upload / 2 ** 20} MiB at most.`);
    return;
  }
  const form = new FormData();
  form.append("file", file, file.name);
  const request = new XMLHttpRequest();
  request.open("POST", "/api/streams");
  for (const [name, value] of Object.entries(headers())) request.setRequestHeader(name, value);
  request.responseType = "json";
  uploading(0, "sending");
  request.upload.onprogress = (event) => uploading(event.loaded / Math.max(event.total, 1), event.loaded < event.total ? Math.round((100 * event.loaded) / event.total) + " %" : "opening");
  request.onerror = () => {
    uploading(null);
    say("source-fault", "The upload broke off; is the server still running?");
  };
  request.onload = async () => {
    uploading(null);
    if (request.status === 401) {
      await askForKey(key ? "This key is not the right one." : "");
      upload(file);
    } else if (request.status === 201) {
      await loadStreams(request.response.stream);
    } else {
      say("source-fault", request.response?.error?.message || "the server answered with status " + request.status);
    }
  };
  request.send(form);
}

const drop = $("drop");
for (const name of ["dragenter", "dragover"]) document.addEventListener(name, (event) => {
  event.preventDefault();
  drop.classList.add("over");
});
for (const name of ["dragleave", "drop"]) document.addEventListener(name, (event) => {
  event.preventDefault();
  if (name === "drop" || !event.relatedTarget) drop.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  const file = event.dataTransfer.files[0];
  if (file) upload(file);
});
$("file").addEventListener("change", () => {
  if ($("file").files[0]) upload($("file").files[0]);
  $("file").value = "";
});

// Runs what a form asks for, once at a time, and shows what went wrong beneath it.
function onSubmit(form, fault, work) {
  $(form).addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = $(form).querySelector("button");
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    say(fault, "");
    try {
      await work();
    } catch (error) {
      say(fault, error.message);
    }
    button.removeAttribute("aria-busy");
  });
}

onSubmit("source-form", "source-fault", async () => {
  const stream = await post("/api/streams", { source: $("source-text").value });
  await loadStreams(stream.stream);
});

const kind = () => document.querySelector("[name=kind]:checked").value;
for (const radio of document.querySelectorAll("[name=kind]")) radio.addEventListener("change", () => {
  const asks = kind() === "question";
  $("wait-label").textContent = asks ? "Question" : "Text to wait for";
  $("wait-text").placeholder = asks ? "what happens?" : "something jumps";
  $("wait-button").textContent = asks ? "Ask" : "Watch";
});

onSubmit("wait-form", "wait-fault", async () => {
  const stream = current, text = $("wait-text").value.trim(), asks = kind() === "question";
  if (!stream || !text) return;
  const given = await post(`/api/streams/${stream.id}/${asks ? "questions" : "alerts"}`, asks ? { question: text } : { text });
  const item = watched(stream, asks ? "question" : "alert", text);
  // What came meanwhile is newer.
  const last = given.scores.length ? given.scores[given.scores.length - 1].end_s : -Infinity;
  item.points = given.scores.map((p) => [p.end_s, p.score, p.on]).concat(item.points.filter((p) => p[0] > last));
  const now = item.points[item.points.length - 1];
  if (now) [, item.now, item.on] = now;
  for (const answer of given.answers || []) if (!item.log.some((log) => log.start_s === answer.start_s)) item.log.push(answer);
  item.log.sort((a, b) => a.start_s - b.start_s);
  if (asks && item.log.length && !item.answer) item.answer = item.log[item.log.length - 1].text;
  if (!asks) for (const span of spansOf(item.points)) if (!item.log.some((log) => Math.abs(log.end_s - span.end_s) < 0.01)) item.log.push(span);
  // Whoever types on must not lose it.
  if ($("wait-text").value.trim() === text) $("wait-text").value = "";
  if (given.notes.length) say("wait-fault", given.notes.join(" "));
  schedule();
});

// Times during which an alert was on.
function spansOf(points) {
  const spans = [];
  for (const [end, value, on] of points) {
    const last = spans[spans.length - 1];
    if (on && last && last.open) Object.assign(last, { end_s: end, score: Math.max(last.score, value) });
    else if (on) spans.push({ start_s: end, end_s: end, score: value, open: true });
    else if (last) last.open = false;
  }
  return spans;
}

onSubmit("search-form", "search-fault", async () => {
  $("search-state").textContent = "searching …";
  const found = await post("/api/search", { text: $("search-text").value, top: 12 }).catch((error) => {
    $("search-state").textContent = "";
    throw error;
  });
  const results = found.searches[0].results;
  $("search-state").textContent = results.length ? `${results.length} moments, the nearest first` : "Nothing has been seen yet.";
  $("found").replaceChildren(...results.map((result) => {
    const image = result.picture ? make("img", { src: result.picture, alt: "" }) : make("span", { className: "blank" });
    const where = make("span", { className: "where", textContent: `${result.name} · ${clock(result.start_s)} · ${score(result.score)}` });
    const go = make("button", { type: "button", className: "go" }, image, make("span", {}, where, make("p", { textContent: result.text || "" })));
    go.addEventListener("click", () => {
      follow(result.stream);
      current.lookingAt = (result.start_s + result.end_s) / 2;
      schedule();
      $("stage").focus();
    });
    return make("li", {}, go);
  }));
});

$("scrub").addEventListener("input", () => {
  if (!current) return;
  current.lookingAt = Number($("scrub").value);
  schedule();
});
$("live").addEventListener("click", () => {
  current.lookingAt = null;
  schedule();
  $("scrub").focus();
});
$("stop").addEventListener("click", () => {
  post(`/api/streams/${current.id}/stop`, {}).catch((error) => say("stream-fault", error.message));
});
$("remove").addEventListener("click", async () => {
  const stream = current;
  if (stream.phase === "running" && !confirm(`Stop and remove ${stream.about?.name || "this stream"}?`)) return;
  stream.following.abort();
  try {
    await call(`/api/streams/${stream.id}`, { method: "DELETE" });
    current = null;
    await loadStreams();
  } catch (error) {
    say("stream-fault", error.message);
  }
});

async function health() {
  try {
    facts = await (await fetch("/health")).json();
    $("dot").className = "dot " + (facts.status === "ok" ? "ok" : "bad");
    $("model").title = `${facts.adapter}; ${facts.status}`;
    $("source-form").hidden = !facts.sources;
    $("question-choice").hidden = !facts.asks;
  } catch {
    $("dot").className = "dot bad";
    $("model").title = "the server does not answer";
  }
}

health();
setInterval(health, 10000);
showStage();
loadStreams().catch((error) => say("source-fault", error.message));
