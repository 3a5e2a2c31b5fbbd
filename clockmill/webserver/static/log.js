// Follows the log of a running try: asks for what came since, adds it as text, stops when the try is over.

const log = document.getElementById("log");
const note = document.getElementById("log-state");
const EVERY = 1000;
const STAMP = /^(\d{4}-\d\d-\d\dT(\d\d:\d\d:\d\d\.\d{3})\d{3}\+00:00) ?(\*\*\* )?/;
let timer = 0;
let told = null;

if (log) log.scrollTop = log.scrollHeight;

function atEnd() {
  return log.scrollTop + log.clientHeight >= log.scrollHeight - 24;
}

function finish() {
  delete log.dataset.log;
  note.textContent = "";
}

// Always as text, never as HTML: it comes from a task.
function lineOf(text) {
  const line = document.createElement("span");
  line.className = "line";
  const stamp = STAMP.exec(text);
  if (stamp) {
    const time = document.createElement("time");
    time.title = stamp[1];
    time.textContent = stamp[2];
    line.append(time, " ");
    if (stamp[3]) line.classList.add("own");
  }
  line.append(`${stamp ? text.slice(stamp[0].length) : text}\n`);
  return line;
}

function add(text) {
  const lines = document.createDocumentFragment();
  for (const line of text.replace(/\n$/, "").split("\n")) lines.append(lineOf(line));
  log.append(lines);
}

// Why the log cannot be read now goes below it, and away with the next answer.
function tell(problem) {
  if (problem) {
    told = told || [...note.childNodes];
    note.textContent = problem;
  } else if (told) {
    note.replaceChildren(...told);
    told = null;
  }
  if (!problem && note.dataset.then) {
    note.textContent = note.dataset.then; // the page came with a problem, which is over
    delete note.dataset.then;
  }
}

async function more() {
  let problem = "";
  try {
    const answer = await fetch(`${log.dataset.log}&offset=${log.dataset.offset}`);
    const text = await answer.text();
    if (answer.status === 503) problem = text;
    if (!answer.ok) throw new Error(String(answer.status));
    const follows = atEnd();
    if (text) add(text);
    if (follows) log.scrollTop = log.scrollHeight;
    log.dataset.offset = answer.headers.get("X-Log-Offset");
    tell("");
    if (answer.headers.has("X-Log-Complete")) finish();
  } catch {
    // The page itself says when the server does not answer; the next try comes anyway.
    if (problem) tell(problem);
  }
  plan();
}

function plan() {
  clearTimeout(timer);
  if (log && log.dataset.log && !document.hidden) timer = setTimeout(more, EVERY);
}

document.addEventListener("visibilitychange", plan);
plan();
