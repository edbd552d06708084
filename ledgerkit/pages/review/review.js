// Pairs, one after the other. An answer is on record before the next pair comes: the server says so. Nothing
// is answered before both pictures are there, or it is said that one is not.
"use strict";

const KEYS = {
  s: "same", 1: "same", arrowleft: "same", d: "different", 2: "different", arrowright: "different",
  u: "unsure", 3: "unsure", arrowdown: "unsure", backspace: "withdrawn", z: "withdrawn",
};
const KEPT = 12; // pictures that are held, those of the next pair among them
const KEY = `by ${location.pathname}`; // of this start of the server: another may be for another person
const byId = (id) => document.getElementById(id);

const state = { by: "", question: "", pairs: [], answers: new Map(), shown: null, busy: false, viewers: [], turn: 0 };
const pictures = new Map();

// --- What the server says ---

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer. Start it again with: ledgerkit review. It goes on after the last answer that is on record.");
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({ error: `the server says ${answer.status}` }));
  throw new Error(said.hint ? `${said.error}. ${said.hint}` : said.error);
}

function take(told) {
  state.by = told.by;
  state.question = told.question;
  byId("collection").textContent = told.collection || "";
  byId("person").textContent = told.by;
  byId("other").hidden = !told.by;
  if (told.pairs) state.pairs = told.pairs;
  state.answers = new Map(told.answers);
}

async function begin(by) {
  take(await (await ask(`state?by=${encodeURIComponent(by)}`)).json());
  byId("asking").hidden = Boolean(state.by);
  if (!state.by) {
    byId("pair").hidden = byId("done").hidden = byId("undo").hidden = byId("keys").hidden = true;
    byId("progress").textContent = "";
    byId("name").focus();
    return;
  }
  try { sessionStorage.setItem(KEY, state.by); } catch { /* the name is asked for again then */ }
  state.busy = true;
  try {
    await show(next());
  } finally {
    state.busy = false;
  }
}

// --- The pair ---

function next() {
  return state.pairs.find((one) => !state.answers.has(one.pair)) || null;
}

function picture(pair, side) {
  const subject = pair[side].subject;
  const held = pictures.get(subject) || load(`pictures/${pair.pair}/${side}`);
  pictures.delete(subject); // the newest stand last
  pictures.set(subject, held);
  for (const [old, value] of pictures) {
    if (pictures.size <= KEPT) break;
    pictures.delete(old);
    value.then((one) => URL.revokeObjectURL(one.url), () => {});
  }
  return held;
}

async function load(path) {
  const url = URL.createObjectURL(await (await ask(path)).blob());
  const image = new Image();
  image.src = url;
  await image.decode();
  return { url, width: image.naturalWidth, height: image.naturalHeight };
}

function element(kind, given, ...inside) {
  const made = document.createElement(kind);
  for (const [name, value] of Object.entries(given)) made.setAttribute(name, value);
  made.append(...inside);
  return made;
}

async function show(pair) {
  const turn = ++state.turn;
  state.shown = pair;
  for (const viewer of state.viewers.splice(0)) viewer.close();
  const count = state.answers.size, all = state.pairs.length;
  byId("progress").textContent = `${count} of ${all} answered`;
  byId("meter").max = all;
  byId("meter").value = count;
  byId("undo").hidden = count === 0;
  byId("keys").hidden = false;
  byId("pair").hidden = !pair;
  byId("done").hidden = Boolean(pair);
  if (!pair) {
    byId("thanks").focus();
    return;
  }
  byId("question").textContent = `Pair ${state.pairs.indexOf(pair) + 1} of ${all}. ${state.question}`;
  byId("question").focus({ preventScroll: true });
  await Promise.all(["left", "right"].map((side) => place(pair, side, turn)));
  const after = state.pairs.find((one) => one !== pair && !state.answers.has(one.pair));
  if (after && turn === state.turn) for (const side of ["left", "right"]) picture(after, side).catch(() => {});
}

async function place(pair, side, turn) {
  const one = pair[side];
  const stage = element("div", { class: "stage" });
  const caption = element("figcaption", {}, one.title, element("span", { class: "small" }, one.subject));
  byId(side).replaceChildren(stage, caption);
  try {
    const { url, width, height } = await picture(pair, side);
    if (turn !== state.turn) return;
    const viewer = new Viewer(stage, { title: `${side === "left" ? "Left" : "Right"}: ${one.title}`, whole: [url, width, height] });
    state.viewers.push(viewer);
    stage.append(tools(viewer, side));
  } catch (error) {
    pictures.delete(one.subject);
    if (turn === state.turn) stage.replaceChildren(element("p", { class: "no-picture" }, `There is no picture of it: ${error.message}`));
  }
}

function tools(viewer, side) {
  const button = (text, label, act) => {
    const made = element("button", { type: "button", "aria-label": `${label} (${side})`, title: label }, text);
    made.addEventListener("click", act);
    return made;
  };
  return element("div", { class: "tools", role: "toolbar", "aria-label": `Zoom (${side})` },
    button("+", "Zoom in", () => viewer.zoom(1.5)), button("−", "Zoom out", () => viewer.zoom(1 / 1.5)), button("All", "Show the whole picture", () => viewer.fit()));
}

// --- Answers ---

async function answer(said) {
  if (state.busy || !state.by) return;
  const undo = said === "withdrawn";
  const pair = undo ? [...state.answers.keys()].at(-1) : state.shown?.pair;
  if (!pair) return;
  state.busy = true;
  for (const one of document.querySelectorAll("#answers button, #undo")) one.setAttribute("aria-disabled", "true");
  try {
    const body = JSON.stringify({ by: state.by, pair, answer: said });
    take(await (await ask("answer", { method: "POST", headers: { "Content-Type": "application/json" }, body })).json());
    byId("trouble").textContent = "";
    const back = undo ? state.pairs.find((one) => one.pair === pair) : null;
    await show(back || next());
  } catch (error) {
    byId("trouble").textContent = error.message;
  } finally {
    state.busy = false;
    for (const one of document.querySelectorAll("#answers button, #undo")) one.removeAttribute("aria-disabled");
  }
}

// --- Keys and buttons ---

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || byId("asking").hidden === false) return;
  const key = event.key.toLowerCase();
  const onButton = event.target.closest?.("button, a");
  if (event.repeat && (key in KEYS || (onButton && (key === "enter" || key === " ")))) {
    event.preventDefault(); // a key that is held down is one answer
    return;
  }
  const moves = key.startsWith("arrow") && event.target.closest?.(".stage");
  if (!(key in KEYS) || moves) return;
  event.preventDefault();
  event.stopPropagation(); // letters move pictures otherwise
  answer(KEYS[key]);
}, true);

for (const one of document.querySelectorAll("#answers button")) one.addEventListener("click", () => answer(one.dataset.answer));
byId("undo").addEventListener("click", () => answer("withdrawn"));
byId("other").addEventListener("click", () => {
  if (state.busy) return; // an answer is under way, by the one who gave it
  try { sessionStorage.removeItem(KEY); } catch { /* nothing was kept */ }
  state.by = "";
  byId("person").textContent = "";
  byId("other").hidden = byId("pair").hidden = byId("done").hidden = byId("undo").hidden = true;
  byId("asking").hidden = false;
  byId("name").value = "";
  byId("name").focus();
});
byId("asking").addEventListener("submit", (event) => {
  event.preventDefault();
  byId("trouble").textContent = "";
  begin(byId("name").value).catch((error) => { byId("trouble").textContent = error.message; });
});

let remembered = "";
try { remembered = sessionStorage.getItem(KEY) || ""; } catch { /* it is asked for */ }
begin(remembered).catch((error) => { byId("trouble").textContent = error.message; });
