// What a person sees. Texts and labels of others are only ever set as textContent.
"use strict";

const BARS = 12;    // with more classes, the most probable ones are shown
const SHOWN = 200;  // rows of the table; the file has all
const WAIT = 150;   // milliseconds without a key until the model is asked
const LONG = 5000;  // characters of a paste that the page does itself
const SPEAK = 1000; // … until the answer is read out

// as safe_cell in Python: what a spreadsheet could run gets an apostrophe
const UNSEEN = "\\s\\x00-\\x1f\\x7f-\\xa0\\u00ad\\u034f\\u061c\\u115f\\u1160\\u17b4\\u17b5"
  + "\\u180b-\\u180f\\u200b-\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3164"
  + "\\ufe00-\\ufe0f\\ufeff\\uffa0\\ufff0-\\ufffb\\u{e0000}-\\u{e0fff}";
const FORMULA = new RegExp(`^(?:[\\t\\r\\n]|[${UNSEEN}]*[=+\\-@＝＋－＠﹦﹢﹣﹫−])`, "u");
const NUMBER = /^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i;

const part = (id) => document.getElementById(id);
const percent = (value) => `${(100 * value).toFixed(value > 0.0995 && value < 0.9995 ? 0 : 1)} %`;

let settings, worker;
let ready = false;
let number = 0;      // of the last question
let asked = [];      // its messages
let answers = [];    // to them
let typing, speaking;

function element(kind, text = "", name = "") {
  const made = document.createElement(kind);
  made.textContent = text;
  if (name) made.className = name;
  return made;
}

function complain(text, code = "") {
  part("loading").hidden = true;
  part("trouble").replaceChildren(text);
  if (code) part("trouble").append(element("code", code));
  part("trouble").hidden = false;
  if (ready) return;
  for (const section of document.querySelectorAll("main > section")) section.hidden = true;
}

function speak(text) {
  clearTimeout(speaking);
  speaking = setTimeout(() => { part("spoken").textContent = text; }, SPEAK);
}

// --- one message

function best(probabilities) {
  return probabilities.indexOf(Math.max(...probabilities));
}

function sure(probabilities) {
  return settings.threshold === null || Math.max(...probabilities) >= settings.threshold;
}

function order(probabilities) {
  const all = [...probabilities.keys()];
  if (all.length <= BARS) return all;
  return all.sort((left, right) => probabilities[right] - probabilities[left]).slice(0, BARS);
}

function bar() {
  const row = element("li");
  const track = element("span", "", "track");
  track.setAttribute("aria-hidden", "true");
  track.append(element("span", "", "bar"));
  row.append(element("bdi", "", "name"), track, element("span", "", "value"));
  return row;
}

function showBars(probabilities) {
  const shown = order(probabilities);
  while (part("bars").children.length < shown.length) part("bars").append(bar());
  const first = best(probabilities);
  shown.forEach((place, position) => {
    const row = part("bars").children[position];
    row.className = place === first ? "best" : "";
    row.querySelector(".name").textContent = settings.classes[place];
    row.querySelector(".bar").style.width = `${100 * probabilities[place]}%`;
    row.querySelector(".value").textContent = percent(probabilities[place]);
  });
  const left = probabilities.length - shown.length;
  part("more").hidden = left === 0;
  part("more").textContent = `${left} other classes are less probable.`;
}

function showOne({ probabilities, lost }) {
  const place = best(probabilities);
  const name = settings.classes[place];
  const value = percent(probabilities[place]);
  const verdict = part("verdict");
  if (sure(probabilities)) {
    const label = element("strong");
    label.append(element("bdi", name));
    verdict.replaceChildren(label, `, ${value}`);
  } else {
    const limit = `${+(100 * settings.threshold).toFixed(4)} %`;
    verdict.replaceChildren(
      element("strong", "Not sure"), "; most probable is ", element("bdi", name), `, ${value}`,
      element("span", ` (it answers from ${limit} on)`, "quiet"));
  }
  showBars(probabilities);
  part("cut").hidden = !lost;
  part("cut").textContent = !lost ? "" : `The model reads ${settings.limit} tokens (parts of words) at most; `
    + `${lost.toLocaleString("en")} at the end of this message were not read.`;
  part("answer").hidden = false;
  part("many").hidden = true;
  speak(verdict.textContent);
}

function strength(effect) {
  const size = Math.abs(effect);
  if (size < 0.01) return "";
  const much = size >= 0.2 ? "much" : size >= 0.05 ? "some" : "little";
  return `${effect > 0 ? "for" : "against"} ${much}`;
}

// quoted words with their points of probability, the strongest three
function listed(words, effects, sign) {
  return [...words.keys()].filter((place) => sign * effects[place] >= 0.01)
    .sort((left, right) => sign * (effects[right] - effects[left])).slice(0, 3)
    .flatMap((place, position) => [
      position ? ", “" : "“", element("bdi", words[place]),
      `” (${(100 * Math.abs(effects[place])).toFixed(0)} points)`]);
}

function showWords({ words, effects }) {
  part("words").replaceChildren();
  const said = part("words-said");
  if (!effects) {
    said.textContent = words.length < 2 ? "A single word is not taken apart."
      : `Words are weighed in messages of up to ${settings.most_words} words; `
        + `this one has ${words.length.toLocaleString("en")}.`;
    return;
  }
  words.forEach((word, place) => {
    part("words").append(element("span", word, strength(effects[place])), " ");
  });
  const name = element("bdi", settings.classes[best(answers[0].probabilities)]);
  const pro = listed(words, effects, 1);
  const con = listed(words, effects, -1);
  said.replaceChildren(
    ...(pro.length ? ["For ", name, " speak: ", ...pro, ". "] : ["No word decides alone. "]),
    ...(con.length ? ["Against it: ", ...con, ". "] : []),
    "Each word is left out once: the points of probability that are then lost are its weight.");
}

// --- several messages

function cells(text, { probabilities }) {
  const place = best(probabilities);
  const message = element("td");
  message.append(element("bdi", text.length > 300 ? `${text.slice(0, 300)}…` : text));
  const label = element("td");
  label.append(...(sure(probabilities) ? [] : ["not sure: "]), element("bdi", settings.classes[place]));
  return [message, label, element("td", percent(probabilities[place]), "number")];
}

function showRows(rows, done) {
  for (const row of rows) {
    if (answers.length < SHOWN) {
      const line = element("tr");
      line.append(...cells(asked[answers.length], row));
      part("rows").append(line);
    }
    answers.push(row);
  }
  const all = asked.length.toLocaleString("en");
  const cut = answers.filter(({ lost }) => lost).length;
  const notes = [done ? `${all} messages.` : `${answers.length.toLocaleString("en")} of ${all} messages …`];
  if (asked.length > SHOWN) notes.push(`The first ${SHOWN} are shown, the file has all.`);
  if (cut) notes.push(`${cut.toLocaleString("en")} longer than ${settings.limit} tokens: their ends were not read.`);
  part("count").textContent = notes.join(" ");
  part("download").disabled = !done;
  part("answer").hidden = true;
  part("many").hidden = false;
  if (done) speak(`${all} messages are answered.`);
}

function cell(value) {
  const text = FORMULA.test(value) && !NUMBER.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function csv() {
  const limited = settings.threshold !== null;
  const names = settings.classes.map((name) => `probability of ${name}`);
  const lines = [["text", "label", "score", ...(limited ? ["sure"] : []), ...names]];
  answers.forEach(({ probabilities }, row) => {
    const values = probabilities.map((value) => value.toFixed(6));
    const place = best(probabilities);
    const judged = limited ? [sure(probabilities) ? "yes" : "no"] : [];
    lines.push([asked[row], settings.classes[place], values[place], ...judged, ...values]);
  });
  return lines.map((line) => `${line.map(cell).join(",")}\n`).join("");
}

function download() {
  const link = element("a");
  link.href = URL.createObjectURL(new Blob([csv()], { type: "text/csv" }));
  link.download = "answers.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

// --- asking

function ask() {
  const text = part("message").value;
  const lines = text.split("\n").filter((line) => line.trim());
  part("choice").hidden = lines.length < 2;
  if (!ready) return;
  number += 1;
  answers = [];
  asked = lines.length > 1 && part("by-line").checked ? lines : [text];
  if (!text.trim()) {
    part("answer").hidden = part("many").hidden = true;
    speak("");
    return worker.postMessage({ number });  // what it is at is not wanted any more
  }
  if (asked.length === 1) {
    part("words").replaceChildren();
    part("words-said").textContent = "…";
    return worker.postMessage({ number, text });
  }
  part("rows").replaceChildren();
  showRows([], false);
  worker.postMessage({ number, texts: asked });
}

function started({ messages, largest }) {
  ready = true;
  part("loading").hidden = true;
  const alike = largest <= settings.tolerance;
  const difference = largest.toExponential(0);
  part("checked").hidden = false;
  part("checked").className = alike ? "quiet" : "alert";
  part("checked").textContent = alike
    ? `Examined in this browser: ${messages} messages, answered as in Python (largest difference `
      + `of a probability ${difference}).`
    : `In this browser probabilities differ by up to ${difference} from those in Python: take them as rough.`;
  document.documentElement.dataset.ready = "yes";
  speak("The model is ready.");
  ask();
}

function receive({ data }) {
  if (data.loading !== undefined) {
    part("progress").value = data.loading;
    part("stage").textContent = data.loading < 1
      ? `Loading the model, ${Math.floor(100 * data.loading)} %` : "Starting the model";
  } else if (data.ready) {
    started(data.ready);
  } else if (data.trouble) {
    complain(`This browser cannot run the model: ${data.trouble}.`);
  } else if (data.number !== number) {
    return;
  } else if (data.rows) {
    showRows(data.rows, data.done);
  } else if (data.decided) {
    showWords(data.decided);
  } else {
    answers = [data];
    showOne(data);
  }
}

function present() {
  document.title = settings.title;
  part("title").textContent = settings.title;
  part("about").textContent = settings.about;
  part("examples").hidden = !settings.examples.length;
  for (const text of settings.examples) {
    const button = element("button");
    button.type = "button";
    button.append(element("bdi", text));
    button.addEventListener("click", () => {
      part("message").value = text;
      ask();
    });
    part("examples").append(button);
  }
}

async function start() {
  if (location.protocol === "file:") {
    return complain(
      "Browsers do not let a page that was opened as a file load a model. Serve its folder by the "
      + "command below, then open http://localhost:8000", "python -m http.server --directory THIS-FOLDER");
  }
  if (typeof WebAssembly !== "object" || typeof Worker !== "function") {
    return complain("This browser has no WebAssembly, by which the model runs, or it is switched "
      + "off. Take a recent Firefox, Chrome, Edge or Safari.");
  }
  part("loading").hidden = false;
  const reply = await fetch("page.json");
  if (!reply.ok) throw Error(`page.json: ${reply.status}`);
  settings = await reply.json();
  present();
  worker = new Worker("worker.js", { type: "module" });
  worker.onmessage = receive;
  worker.onerror = (event) => {
    event.preventDefault();
    complain("The model's program could not be started. Take a recent browser, and see that all "
      + "files of this folder are on the server.");
  };
  worker.postMessage({ number, settings });
}

part("message").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(ask, WAIT);
});
// A browser's own pasting of thousands of lines takes seconds and more
part("message").addEventListener("paste", (event) => {
  const text = event.clipboardData?.getData("text") ?? "";
  if (text.length < LONG) return;
  event.preventDefault();
  const box = part("message");
  box.setRangeText(text.replaceAll("\r\n", "\n"), box.selectionStart, box.selectionEnd, "end");
  ask();
});
part("by-line").addEventListener("change", ask);
part("download").addEventListener("click", download);
start().catch((error) => complain(`The page cannot be loaded whole: ${error.message}.`));
