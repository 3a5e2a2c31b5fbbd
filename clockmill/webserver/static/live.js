// Keeps a page fresh: asks for the same page again and takes over the parts that changed.
//
// <main data-live="2000"> says how often; the answer of the server says when to stop, by not saying it any more.
// Elements with data-part are replaced as a whole, rows of a tbody with data-rows one by one, each by its id. What a
// person is using stays as it is: the focused part, ticked boxes, opened details. A hidden tab asks nothing.

const main = document.querySelector("main");
let timer = 0;

function inUse(part) {
  const focused = document.activeElement;
  if (focused && focused !== document.body && part.contains(focused)) return true;
  const chosen = document.getSelection();
  return Boolean(chosen && !chosen.isCollapsed && part.contains(chosen.anchorNode));
}

function keepChoices(old, fresh) {
  old.querySelectorAll("input[type=checkbox]").forEach((box, place) => {
    const other = fresh.querySelectorAll("input[type=checkbox]")[place];
    if (other) other.checked = box.checked;
  });
  old.querySelectorAll("details").forEach((detail, place) => {
    const other = fresh.querySelectorAll("details")[place];
    if (other) other.open = detail.open;
  });
}

function same(old, fresh) {
  const plain = old.cloneNode(true);
  const other = fresh.cloneNode(true);
  for (const node of [plain, other]) node.querySelectorAll("details").forEach((detail) => detail.removeAttribute("open"));
  return plain.isEqualNode(other);
}

function replace(old, fresh) {
  if (same(old, fresh) || inUse(old)) return;
  keepChoices(old, fresh);
  old.replaceWith(fresh);
}

function takeRows(old, fresh) {
  const known = new Map([...old.children].map((row) => [row.id, row]));
  let place = old.firstElementChild;
  for (const row of [...fresh.children]) {
    const mine = known.get(row.id);
    known.delete(row.id);
    if (!mine) {
      old.insertBefore(row, place);
      continue;
    }
    if (mine === place) place = place.nextElementSibling;
    else old.insertBefore(mine, place);
    replace(mine, row);
  }
  known.forEach((row) => row.remove());
}

function take(page) {
  const parts = [...page.querySelectorAll("[data-part]")];
  const rows = [...page.querySelectorAll("[data-rows]")];
  const fits = [...parts, ...rows].every((part) => document.getElementById(part.id)) &&
    [...document.querySelectorAll("[data-part], [data-rows]")].every((part) => page.getElementById(part.id));
  if (!fits) {
    if (!inUse(main)) location.reload(); // the page has another shape now: the first run, the last of a list
    return;
  }
  parts.forEach((part) => replace(document.getElementById(part.id), part));
  rows.forEach((body) => takeRows(document.getElementById(body.id), body));
}

async function look() {
  try {
    const answer = await fetch(location.href, { headers: { "X-Live": "1" } });
    if (!answer.ok) throw new Error(String(answer.status));
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    delete document.documentElement.dataset.offline;
    take(page);
    const next = page.querySelector("main").dataset.live;
    if (next) main.dataset.live = next;
    else delete main.dataset.live;
  } catch {
    document.documentElement.dataset.offline = "";
  }
  plan();
}

function plan() {
  clearTimeout(timer);
  if (main.dataset.live && !document.hidden) timer = setTimeout(look, Number(main.dataset.live));
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) clearTimeout(timer);
  else if (main.dataset.live) look();
});

plan();
