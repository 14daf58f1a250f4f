"use strict";
// The gallery's page. What comes from papers is set as text, never as markup.

const data = JSON.parse(document.getElementById("data").textContent);
const figures = data.figures;
const byId = new Map(figures.map((figure) => [figure.figure_id, figure]));
const STORAGE = `s1mm-verdicts:${data.partition}`;
const at = (id) => document.getElementById(id);
const controls = ["search", "decision", "reason", "flag", "verdict", "sort"];
const Z2 = 1.959963984540054 ** 2;

let verdicts = new Map(); // figure_id → {verdict, note, at, was, digest}
let history = []; // [figure_id, what stood before]
let shown = []; // figures that match, in order
let current = null;

// --- building ---------------------------------------------------------------------------------------------

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined && text !== null) made.textContent = text;
  return made;
}

function count(n, what) {
  return `${n.toLocaleString("en")} ${what}${n === 1 ? "" : "s"}`;
}

function precise(value) {
  return Number.isInteger(value) ? value.toLocaleString("en") : Number(value.toPrecision(4)).toString();
}

function textBlock(kind, heading, words) {
  const block = element("section", `text ${kind}`);
  block.append(element("h3", "", heading));
  const paragraph = element("p", "words", words || "none");
  paragraph.dir = "auto";
  block.append(paragraph);
  return block;
}

function picture(figure) {
  const place = element("div", "picture");
  if (!figure.image) {
    place.append(element("p", "no-image", figure.has_image ? "image cannot be shown" : "no image"));
    return place;
  }
  const button = element("button", "enlarge");
  button.type = "button";
  button.setAttribute("aria-label", `Enlarge the image of ${figure.figure_id}`);
  const image = element("img");
  image.alt = `Figure ${figure.number || ""} of the paper`;
  image.decoding = "async";
  image.src = `data:image/webp;base64,${figure.image}`;
  button.append(image);
  button.addEventListener("click", () => enlarge(figure));
  place.append(button);
  return place;
}

function reasonBlock(figure) {
  const block = element("div", "reason");
  block.append(element("strong", "", figure.was));
  if (figure.measured) {
    const value = figure.measured_value === null ? "" : ` = ${precise(figure.measured_value)}`;
    const threshold = figure.threshold === null ? "" : `, threshold ${precise(figure.threshold)}`;
    block.append(element("span", "", `  ${figure.measured}${value}${threshold}`));
  }
  if (figure.evidence) block.append(element("p", "evidence", figure.evidence));
  return block;
}

function scoreTable(figure) {
  const table = element("table", "scores");
  const head = table.createTHead().insertRow();
  for (const heading of ["", "caption", "recaption"]) {
    const cell = element("th", "", heading);
    cell.scope = "col";
    head.append(cell);
  }
  const body = table.createTBody();
  for (const row of figure.scores) {
    const line = body.insertRow();
    const name = element("th", "", row.label);
    name.scope = "row";
    line.append(name);
    for (const value of [row.caption, row.recaption]) {
      line.append(element("td", "", value === null ? "–" : value.toFixed(row.decimals)));
    }
  }
  return table;
}

function claims(figure) {
  const block = element("p", "claims");
  const share = figure.grounding === null ? "–" : `${Math.round(100 * figure.grounding)} %`;
  block.append(element("span", "", `Grounding ${share}`));
  if (figure.claims.length) {
    block.append(element("span", "", "; nowhere in caption, text or image: "));
    for (const claim of figure.claims) block.append(element("span", "tag bad", claim));
  }
  if (figure.more_claims) block.append(element("span", "", `and ${figure.more_claims} more`));
  return block;
}

function mentionBlock(figure) {
  const block = element("details");
  const n = figure.mentions.length + figure.more_mentions;
  block.append(element("summary", "", count(n, "paragraph") + (n === 1 ? " cites it" : " cite it")));
  for (const mention of figure.mentions) {
    const quote = element("div", "mention");
    if (mention.section) quote.append(element("h3", "", mention.section));
    const words = element("p", "words", mention.text);
    words.dir = "auto";
    quote.append(words);
    block.append(quote);
  }
  if (figure.more_mentions) block.append(element("p", "mention", `and ${figure.more_mentions} more, not shown`));
  return block;
}

function judgeBlock(figure) {
  const block = element("div", "judge");
  const question = figure.was === "kept" ? "Kept: a good entry?" : "Rejected: good after all?";
  block.append(element("span", "question", question));
  for (const verdict of ["good", "bad"]) {
    const button = element("button", verdict, verdict === "good" ? "Good" : "Bad");
    button.type = "button";
    button.addEventListener("click", () => { select(figure, false); judge(figure, verdict); });
    block.append(button);
  }
  const clear = element("button", "clear", "Clear");
  clear.type = "button";
  clear.addEventListener("click", () => { select(figure, false); judge(figure, ""); });
  block.append(clear);
  const note = element("input", "note");
  note.type = "text";
  note.maxLength = 500;
  note.placeholder = "note";
  note.setAttribute("aria-label", `Note on ${figure.figure_id}`);
  note.addEventListener("input", () => {
    const stood = verdicts.get(figure.figure_id) || { verdict: "" };
    put(figure, { ...stood, note: note.value });
  });
  block.append(note);
  return block;
}

function build(figure) {
  const card = element("article", "card");
  card.tabIndex = -1;
  card.setAttribute("aria-label", `${figure.figure_id}, ${figure.was}`);
  const top = element("div", "top");
  top.append(element("h2", "", figure.number ? `Figure ${figure.number}` : "Figure without a number"));
  const decision = figure.was === "kept" ? "kept" : "rejected";
  top.append(element("span", `tag ${decision}`, decision));
  for (const flag of figure.flags) top.append(element("span", "tag flag", flag));
  top.append(element("span", "tag verdict"));
  top.append(element("span", "id", figure.figure_id));
  card.append(top);
  if (figure.title) {
    const title = element("p", "title", figure.title);
    title.dir = "auto";
    card.append(title);
  }
  const body = element("div", "body");
  body.append(picture(figure));
  const texts = element("div", "texts");
  if (figure.was !== "kept") texts.append(reasonBlock(figure));
  texts.append(textBlock("caption", "Caption", figure.caption));
  if (figure.recaption !== null) texts.append(textBlock("recaption", "Recaption", figure.recaption));
  if (figure.scores.length) texts.append(scoreTable(figure));
  if (figure.grounding !== null || figure.claims.length) texts.append(claims(figure));
  if (figure.mentions.length) texts.append(mentionBlock(figure));
  body.append(texts);
  card.append(body, judgeBlock(figure));
  card.addEventListener("focusin", () => select(figure, false));
  return card;
}

// --- filtering and sorting --------------------------------------------------------------------------------

function normal(text) {
  return text.normalize("NFKC").toLowerCase();
}

function searchable(figure) {
  const mentions = figure.mentions.flatMap((mention) => [mention.section, mention.text]);
  const parts = [figure.figure_id, figure.number, figure.title, figure.caption, figure.recaption, figure.was];
  return normal([...parts, figure.evidence, ...figure.flags, ...figure.claims, ...mentions].filter(Boolean).join("\n"));
}

function verdictOf(figure) {
  return verdicts.get(figure.figure_id)?.verdict || "";
}

const tests = {
  search: (figure, words) => normal(words).split(/\s+/).every((word) => figure.haystack.includes(word)),
  decision: (figure, value) => (figure.was === "kept") === (value === "kept"),
  reason: (figure, value) => figure.was === value,
  flag: (figure, value) => figure.flags.includes(value),
  verdict: (figure, value) => (value === "none" ? "" : value) === verdictOf(figure),
};

function matches(figure, ignored) {
  return Object.entries(tests).every(([name, test]) => {
    const value = at(name).value.trim();
    return name === ignored || !value || test(figure, value);
  });
}

function scoreOf(figure, key) {
  if (key === "grounding") return figure.grounding;
  const [kind, name] = key.split(":");
  const row = figure.scores.find((each) => each.name === name);
  if (!row) return null;
  if (kind !== "uplift") return row[kind];
  return row.caption === null || row.recaption === null ? null : row.recaption - row.caption;
}

function sorted(list) {
  const [key, direction] = at("sort").value.split(" ");
  if (!key) return list;
  const sign = direction === "down" ? -1 : 1;
  const scored = list.map((figure, i) => [figure, scoreOf(figure, key), i]);
  scored.sort((a, b) => {
    if (a[1] === null || b[1] === null) return (a[1] === null) - (b[1] === null) || a[2] - b[2];
    return sign * (a[1] - b[1]) || a[2] - b[2];
  });
  return scored.map(([figure]) => figure);
}

function options(id, values, label) {
  const menu = at(id);
  const stood = menu.value;
  const entries = [["", label], ...values];
  menu.replaceChildren(...entries.map(([value, words]) => {
    const option = element("option", "", words);
    option.value = value;
    return option;
  }));
  menu.value = entries.some(([value]) => value === stood) ? stood : "";
  menu.disabled = !values.length;
}

function tally(id, valuesOf) {
  const counts = new Map();
  for (const figure of figures) {
    for (const value of valuesOf(figure)) {
      counts.set(value, (counts.get(value) || 0) + (matches(figure, id) ? 1 : 0));
    }
  }
  return [...counts].sort((a, b) => (a[0] < b[0] ? -1 : 1)).map(([value, n]) => [value, `${value} (${n})`]);
}

function menus() {
  options("decision", tally("decision", (figure) => [figure.was === "kept" ? "kept" : "rejected"]), "all");
  options("reason", tally("reason", (figure) => (figure.was === "kept" ? [] : [figure.was])), "all");
  options("flag", tally("flag", (figure) => figure.flags), "all");
  const judged = new Map(tally("verdict", (figure) => [verdictOf(figure) || "none"]));
  options("verdict", ["good", "bad", "none"].map((value) => [value, judged.get(value) || `${value} (0)`]), "all");
}

function sortMenu() {
  const values = [];
  const names = new Map(figures.flatMap((figure) => figure.scores.map((row) => [row.name, row.label])));
  for (const [name, label] of names) {
    for (const kind of ["recaption", "caption", "uplift"]) {
      const words = kind === "uplift" ? `change of ${label}` : `${label} of ${kind}`;
      values.push([`${kind}:${name} up`, `${words}, lowest first`], [`${kind}:${name} down`, `${words}, highest first`]);
    }
  }
  if (figures.some((figure) => figure.grounding !== null)) {
    values.push(["grounding up", "grounding, lowest first"], ["grounding down", "grounding, highest first"]);
  }
  options("sort", values, "by id");
}

function refresh() {
  shown = sorted(figures.filter((figure) => matches(figure)));
  const visible = new Set(shown);
  for (const figure of figures) figure.card.hidden = !visible.has(figure);
  at("cards").append(...shown.map((figure) => figure.card));
  at("empty").hidden = shown.length > 0;
  at("shown").textContent = `${shown.length} of ${figures.length} shown`;
  if (!visible.has(current)) select(shown[0] || null, false);
  menus();
  progress();
}

// --- verdicts ---------------------------------------------------------------------------------------------

function interval(right, n) {
  const share = right / n;
  const centre = (share + Z2 / (2 * n)) / (1 + Z2 / n);
  const half = (Math.sqrt(Z2) * Math.sqrt((share * (1 - share)) / n + Z2 / (4 * n * n))) / (1 + Z2 / n);
  const percent = (value) => Math.round(100 * Math.min(1, Math.max(0, value)));
  return `${percent(share)} % right (${percent(centre - half)} to ${percent(centre + half)} %)`;
}

function progress() {
  const words = ["kept", "rejected"].map((decision) => {
    const judged = figures.filter((figure) => (figure.was === "kept") === (decision === "kept") && verdictOf(figure));
    const right = judged.filter((figure) => verdictOf(figure) === (decision === "kept" ? "good" : "bad")).length;
    if (!judged.length) return `${decision}: none judged`;
    return `${decision}: ${judged.length} judged, ${interval(right, judged.length)}`;
  });
  at("progress").textContent = words.join(" · ");
}

function show(figure) {
  const stood = verdicts.get(figure.figure_id) || { verdict: "", note: "" };
  for (const verdict of ["good", "bad"]) {
    figure.card.querySelector(`button.${verdict}`).setAttribute("aria-pressed", String(stood.verdict === verdict));
  }
  const tag = figure.card.querySelector(".tag.verdict");
  tag.textContent = stood.verdict ? `judged ${stood.verdict}` : "";
  tag.className = `tag verdict ${stood.verdict}`;
  tag.hidden = !stood.verdict;
  const note = figure.card.querySelector(".note");
  if (note.value !== (stood.note || "")) note.value = stood.note || "";
}

function put(figure, entry) {
  if (entry && (entry.verdict || entry.note)) {
    const { verdict, note = "", at: time = "" } = entry;
    verdicts.set(figure.figure_id, { verdict, note, at: time, was: figure.was, digest: figure.digest });
  } else {
    verdicts.delete(figure.figure_id);
  }
  keep();
}

function judge(figure, verdict) {
  const stood = verdicts.get(figure.figure_id);
  history.push([figure, stood]);
  put(figure, { note: "", ...stood, verdict, at: new Date().toISOString() });
  show(figure);
  say(verdict ? `${figure.figure_id}: ${verdict}` : `${figure.figure_id}: cleared`);
}

function judgeAndGoOn(verdict) {
  if (!current) return;
  const place = shown.indexOf(current);
  const judged = current;
  judge(judged, verdict);
  refresh();
  select((shown.includes(judged) ? shown[place + 1] : shown[place]) || shown[shown.length - 1] || null, true);
}

function undo() {
  const last = history.pop();
  if (!last) return say("nothing to undo");
  const [figure, stood] = last;
  const note = verdicts.get(figure.figure_id)?.note || ""; // a note written since stays
  put(figure, { verdict: stood?.verdict || "", at: stood?.at, note });
  show(figure);
  refresh();
  if (shown.includes(figure)) select(figure, true);
  return say(`${figure.figure_id}: undone`);
}

function keep() {
  try {
    localStorage.setItem(STORAGE, JSON.stringify({ reviewer: at("reviewer").value, verdicts: [...verdicts] }));
  } catch { /* a browser may forbid it for files: the verdicts then last as long as the page */ }
}

function accept(figureId, entry) {
  const figure = byId.get(figureId);
  if (!figure || entry.digest !== figure.digest || entry.was !== figure.was) return false;
  if (!["good", "bad", ""].includes(entry.verdict)) return false;
  put(figure, { verdict: entry.verdict, note: String(entry.note || ""), at: String(entry.at || "") });
  return true;
}

function recall() {
  try {
    const stored = JSON.parse(localStorage.getItem(STORAGE)) || { verdicts: [] };
    at("reviewer").value = String(stored.reviewer || "");
    for (const [figureId, entry] of stored.verdicts) accept(figureId, entry);
  } catch { /* nothing stored, or nothing that this page understands */ }
}

// --- files ------------------------------------------------------------------------------------------------

function quoted(value) {
  const safe = data.dangerous.some((start) => value.startsWith(start)) ? `'${value}` : value;
  return `"${safe.replaceAll('"', '""')}"`;
}

function asCsv() {
  const lines = [data.columns];
  for (const figure of figures) {
    const entry = verdicts.get(figure.figure_id);
    if (!entry || !entry.verdict) continue;
    const row = {
      partition: data.partition, figure_id: figure.figure_id, verdict: entry.verdict, was: figure.was,
      digest: figure.digest, reviewer: at("reviewer").value.trim(), note: entry.note, judged_at: entry.at,
    };
    lines.push(data.columns.map((name) => row[name]));
  }
  return lines.map((line) => line.map(quoted).join(",")).join("\r\n") + "\r\n";
}

function save() {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff", asCsv()], { type: "text/csv;charset=utf-8" }));
  // the reviewer's name, so that one reviewer's file does not take the place of another's
  const parts = ["verdicts", data.partition, at("reviewer").value.trim()].filter(Boolean);
  link.download = `${parts.join("-").replace(/[^A-Za-z0-9._-]+/g, "-")}.csv`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  say(`saved ${count(figures.filter(verdictOf).length, "verdict")}`);
}

function parseCsv(text) {
  const first = text.slice(0, text.search(/\r?\n|$/));
  const delimiter = [",", ";", "\t"].reduce((a, b) => (first.split(b).length > first.split(a).length ? b : a));
  const rows = [[""]];
  let isQuoted = false;
  for (let i = 0; i < text.length; i += 1) {
    const row = rows[rows.length - 1];
    const character = text[i];
    if (isQuoted && character === '"' && text[i + 1] === '"') { row[row.length - 1] += '"'; i += 1; }
    else if (character === '"') isQuoted = !isQuoted;
    else if (isQuoted) row[row.length - 1] += character;
    else if (character === delimiter) row.push("");
    else if (character === "\n") rows.push([""]);
    else if (character !== "\r") row[row.length - 1] += character;
  }
  return rows.filter((row) => row.some(Boolean));
}

function unescaped(field) {
  return field.startsWith("'") && data.dangerous.some((start) => field.startsWith(start, 1)) ? field.slice(1) : field;
}

function loadText(text) {
  const [header, ...rows] = parseCsv(text.replace(/^\ufeff/, ""));
  const names = (header || []).map((name) => name.trim().toLowerCase());
  const isComplete = ["figure_id", "verdict", "was", "digest"].every((name) => names.includes(name));
  if (!isComplete) return say("not a file of verdicts");
  let n = 0;
  for (const fields of rows) {
    const row = Object.fromEntries(names.map((name, i) => [name, unescaped(fields[i] || "")]));
    const verdict = row.verdict.trim().toLowerCase();
    if (verdict && accept(row.figure_id, { ...row, verdict, at: row.judged_at })) n += 1;
    if (row.reviewer && !at("reviewer").value) at("reviewer").value = row.reviewer;
  }
  history = [];
  keep();
  figures.forEach(show);
  refresh();
  const other = rows.length - n;
  return say(`loaded ${count(n, "verdict")}${other ? `; ${other} of other or changed figures left out` : ""}`);
}

// --- moving -----------------------------------------------------------------------------------------------

function select(figure, isScrolled) {
  if (current && current !== figure) current.card.classList.remove("current");
  current = figure;
  if (!figure) return;
  figure.card.classList.add("current");
  if (isScrolled) {
    figure.card.focus({ preventScroll: true });
    figure.card.scrollIntoView({ block: "start" });
  }
}

function move(step) {
  if (!shown.length) return;
  const place = shown.indexOf(current) + step;
  select(shown[Math.min(shown.length - 1, Math.max(0, place))], true);
}

function enlarge(figure) {
  if (!figure || !figure.image) return;
  at("viewer-image").src = `data:image/webp;base64,${figure.image}`;
  at("viewer-image").alt = `Figure ${figure.number || ""} of the paper`;
  at("viewer-caption").textContent = figure.caption;
  at("viewer").showModal();
}

let fading = 0;
function say(words) {
  at("message").textContent = words.length > 160 ? `…${words.slice(-160)}` : words;
  at("message").classList.add("is-shown");
  clearTimeout(fading);
  fading = setTimeout(() => at("message").classList.remove("is-shown"), 2500);
}

const keys = {
  j: () => move(1), ArrowRight: () => move(1), k: () => move(-1), ArrowLeft: () => move(-1),
  g: () => judgeAndGoOn("good"), b: () => judgeAndGoOn("bad"), u: undo, e: () => enlarge(current),
  n: () => current?.card.querySelector(".note").focus(),
  "/": () => { at("search").focus(); at("search").select(); },
  "?": () => at("help").showModal(),
};

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const field = event.target.closest("input, select, textarea");
  if (field && event.key === "Escape") { field.blur(); current?.card.focus({ preventScroll: true }); return; }
  if (field || document.querySelector("dialog[open]")) return;
  const action = keys[event.key];
  if (!action) return;
  event.preventDefault();
  action();
}

function start() {
  const nKept = figures.filter((figure) => figure.was === "kept").length;
  at("sample").textContent = `a sample: ${nKept.toLocaleString("en")} of ${count(data.n_kept, "kept figure")}, `
    + `${(figures.length - nKept).toLocaleString("en")} of ${data.n_rejected.toLocaleString("en")} rejected`;
  recall();
  for (const figure of figures) {
    figure.haystack = searchable(figure);
    figure.card = build(figure);
    show(figure);
  }
  sortMenu();
  menus();
  refresh();
  select(shown[0] || null, false);
  for (const id of controls) at(id).addEventListener("input", refresh);
  at("reviewer").addEventListener("input", keep);
  at("save").addEventListener("click", save);
  at("load").addEventListener("click", () => at("file").click());
  at("file").addEventListener("change", async () => {
    const [file] = at("file").files;
    if (file) loadText(await file.text());
    at("file").value = "";
  });
  at("reset").addEventListener("click", () => {
    for (const id of controls) at(id).value = "";
    refresh();
  });
  at("help-open").addEventListener("click", () => at("help").showModal());
  at("help-close").addEventListener("click", () => at("help").close());
  at("viewer-close").addEventListener("click", () => at("viewer").close());
  at("viewer-image").addEventListener("click", () => at("viewer").close());
  document.addEventListener("keydown", onKey);
  // a card that is moved to shall not hide behind the header, which is taller in a narrow window
  new ResizeObserver(() => {
    document.documentElement.style.setProperty("--header", `${at("header").offsetHeight}px`);
  }).observe(at("header"));
}

start();
