// The page's own few lines: theme, search, copy.  Nothing is fetched from elsewhere.
const root = document.currentScript.dataset.root;

const theme = document.getElementById("theme");
theme.onclick = () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark"
    || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", document.documentElement.dataset.theme);
};

// Search: all words must be there; a word in a heading counts most.
const box = document.getElementById("search"), found = document.getElementById("found");
let loading = null;
function load() {
  loading ??= new Promise(done => {
    const script = document.createElement("script");
    script.src = root + "assets/index.js";
    script.onload = () => done(window.searchIndex);
    document.head.append(script);
  });
  return loading;
}
function score(entry, words, phrase) {
  const title = entry.title.toLowerCase(), text = entry.text.toLowerCase();
  if (!words.every(word => title.includes(word) || text.includes(word))) return 0;
  const inTitle = words.filter(word => title.includes(word)).length;
  return 1 + 10 * inTitle + (title.includes(phrase) ? 20 : 0) + (text.includes(phrase) ? 5 : 0);
}
function snippet(entry, word) {
  const at = Math.max(0, entry.text.toLowerCase().indexOf(word) - 40);
  return (at ? "… " : "") + entry.text.slice(at, at + 130) + " …";
}
function row(entry, word) {
  const item = document.createElement("li"), link = document.createElement("a");
  const title = document.createElement("b"), text = document.createElement("small");
  link.href = root + entry.place;
  title.textContent = entry.page === entry.title ? entry.page : `${entry.page} › ${entry.title}`;
  text.textContent = snippet(entry, word);
  link.append(title, text);
  item.append(link);
  return item;
}
async function search() {
  const phrase = box.value.trim().toLowerCase();
  found.hidden = phrase.length < 2;
  if (found.hidden) return;
  const entries = await load(), words = phrase.split(/\s+/);
  const hits = entries.map(entry => [score(entry, words, phrase), entry]).filter(([points]) => points);
  hits.sort(([a], [b]) => b - a);
  found.replaceChildren(...hits.slice(0, 12).map(([, entry]) => row(entry, words[0])));
  if (hits.length) return;
  const none = document.createElement("li");
  none.textContent = "nothing found";
  found.append(none);
}
box.addEventListener("focus", load);
box.addEventListener("input", search);
if (document.activeElement === box) search();  // somebody typed before this script was there
box.addEventListener("keydown", event => {
  if (event.key === "Escape") found.hidden = true;
  if (event.key === "Enter") found.querySelector("a")?.click();
  if (event.key === "ArrowDown") { found.querySelector("a")?.focus(); event.preventDefault(); }
});
document.addEventListener("click", event => { if (!event.target.closest(".search")) found.hidden = true; });
document.addEventListener("keydown", event => {
  if (event.key === "/" && !/INPUT|TEXTAREA/.test(document.activeElement.tagName)) { box.focus(); event.preventDefault(); }
});

// A small screen begins with the text, not with lists.
for (const [list, width] of [["nav.pages details", 992], ["nav.contents details", 1280]]) {
  const folded = document.querySelector(list);
  if (folded && innerWidth < width) folded.open = false;
}

for (const code of document.querySelectorAll("pre.code")) {
  const button = Object.assign(document.createElement("button"), {type: "button", className: "copy", textContent: "copy"});
  button.onclick = () => navigator.clipboard.writeText(code.querySelector("code").textContent);
  code.append(button);
}
// What scrolls inside its own box can be reached with the keyboard.
for (const wide of document.querySelectorAll("pre.output, .table, div.output, .figure")) {
  if (wide.scrollWidth > wide.clientWidth) wide.tabIndex = 0;
}
