// The model in a thread of its own: it loads the files beside it, and answers what the page asks.
import * as ort from "./vendor/onnxruntime.js";
import { Tokenizer } from "./vendor/tokenizers.js";

// the white space at which Python's str.split() splits
const WORD = /[^\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+/gu;

let settings, tokenizer, session;
let newest = 0;                 // the last question; what belongs to older ones is dropped
let turn = Promise.resolve();   // one question at a time

async function download(name, told) {
  const reply = await fetch(name);
  if (!reply.ok) throw Error(`${name}: ${reply.status} ${reply.statusText}`);
  const parts = [];
  let size = 0;
  for (const reader = reply.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    told(value.length);
    size += value.length;
  }
  const bytes = new Uint8Array(size);
  let place = 0;
  for (const part of parts) {
    bytes.set(part, place);
    place += part.length;
  }
  return bytes;
}

async function load(given) {
  settings = given;
  const total = Object.values(settings.sizes).reduce((sum, size) => sum + size, 0);
  let loaded = 0;
  const told = (size) => {
    loaded += size;
    postMessage({ loading: Math.min(1, loaded / total) });
  };
  const files = Object.keys(settings.sizes).map((name) => download(name, told));
  const [engine, vocabulary, graph] = await Promise.all(files);
  tokenizer = new Tokenizer(JSON.parse(new TextDecoder().decode(vocabulary)), {});
  ort.env.wasm.wasmBinary = engine;
  ort.env.wasm.numThreads = 1;  // more would need headers that plain servers do not send
  session = await ort.InferenceSession.create(graph);
  return { ready: await examine() };
}

// Token ids within the limit, and how many were cut off; as cut_to in Python does it
function encode(text) {
  const { limit } = settings;
  const ids = Array.from(tokenizer.encode(text).ids, Number);
  const lost = Math.max(0, ids.length - limit);
  if (!lost) return { ids, lost };
  const inner = Array.from(tokenizer.encode(text, { add_special_tokens: false }).ids, Number);
  const special = ids.length - inner.length;
  const starts = (before) => inner.every((id, place) => ids[before + place] === id);
  let before = 0;
  while (before < special && !starts(before)) before += 1;
  const kept = inner.slice(0, limit - special);
  return { ids: [...ids.slice(0, before), ...kept, ...ids.slice(before + inner.length)], lost };
}

async function logits(ids) {
  const length = Math.max(2, ids.length);  // as the graph was made
  const columns = {
    input_ids: new BigInt64Array(length).fill(BigInt(settings.pad_id)),
    attention_mask: new BigInt64Array(length),
    token_type_ids: new BigInt64Array(length),
  };
  ids.forEach((id, place) => {
    columns.input_ids[place] = BigInt(id);
    columns.attention_mask[place] = 1n;
  });
  const inputs = {};
  for (const name of session.inputNames) {
    inputs[name] = new ort.Tensor("int64", columns[name], [1, length]);
  }
  const output = (await session.run(inputs))[session.outputNames[0]];
  return settings.columns.map((column) => output.data[column]);
}

function softmax(values, temperature) {
  const highest = Math.max(...values);
  const powers = values.map((value) => Math.exp((value - highest) / temperature));
  const sum = powers.reduce((left, right) => left + right, 0);
  return powers.map((power) => power / sum);
}

async function answer(text) {
  const { ids, lost } = encode(text);
  return { probabilities: softmax(await logits(ids), settings.temperature), lost };
}

// Does this browser answer as Python did? The largest difference of a probability; an error for other tokens
async function examine() {
  let largest = 0;
  for (const { text, ids, probabilities } of settings.probes) {
    const own = encode(text).ids;
    if (own.join() !== ids.join()) throw Error("its words are split otherwise than in Python");
    const given = softmax(await logits(own), 1);
    given.forEach((value, place) => {
      largest = Math.max(largest, Math.abs(value - probabilities[place]));
    });
  }
  return { messages: settings.probes.length, largest };
}

// Fall in probability without each word, as word_effects in Python
async function effects(text, best, number) {
  const words = text.match(WORD) ?? [];
  if (words.length < 2 || words.length > settings.most_words) return { words, effects: null };
  const whole = (await answer(text)).probabilities[best];
  const found = [];
  for (const place of words.keys()) {
    const shorter = words.filter((_, other) => other !== place).join(" ");
    found.push(whole - (await answer(shorter)).probabilities[best]);
    if (await stale(number)) return null;
  }
  return { words, effects: found };
}

// Let newer questions in, then say whether there was one
async function stale(number) {
  await new Promise((go) => setTimeout(go));
  return number !== newest;
}

async function table(texts, number) {
  let batch = [];
  let sent = Date.now();
  for (const [place, text] of texts.entries()) {
    batch.push(await answer(text));
    if (Date.now() - sent < 100 && place + 1 < texts.length) continue;
    postMessage({ number, rows: batch, done: place + 1 === texts.length });
    batch = [];
    sent = Date.now();
    if (await stale(number)) return;
  }
}

async function one(text, number) {
  const found = await answer(text);
  postMessage({ number, ...found });
  if (await stale(number)) return;
  const best = found.probabilities.indexOf(Math.max(...found.probabilities));
  const decided = await effects(text, best, number);
  if (decided) postMessage({ number, decided });
}

async function handle({ number, settings: given, text, texts }) {
  try {
    if (given) return postMessage(await load(given));
    if (number !== newest || (text ?? texts) === undefined) return;
    await (texts ? table(texts, number) : one(text, number));
  } catch (error) {
    postMessage({ number, trouble: String(error?.message ?? error) });
  }
}

onmessage = ({ data }) => {
  newest = data.number;
  turn = turn.then(() => handle(data));
};
