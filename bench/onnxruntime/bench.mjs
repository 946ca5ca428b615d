// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Times an ONNX file on ONNX Runtime's CPU provider: one picture a run, input shapes as the file has them.
//
//   node bench.mjs MODEL.onnx [--frames N] [--threads N] [--size HxW]
//   node bench.mjs MODEL.onnx --input FILE [--size HxW]
//
// Prints one JSON object; times are milliseconds of session.run(): the median of the wall clock, and the mean of processor
// time in all threads of the process. --size fills in height and width where the file leaves them open. With --input it
// measures nothing and prints what the network finds in that picture (raw float32): labels, boxes, scores.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createRequire } from 'node:module';
import * as ort from 'onnxruntime-node';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    frames: { type: 'string', default: '100' },
    threads: { type: 'string', default: '2' },
    size: { type: 'string', default: '640x640' },
    input: { type: 'string' },
  },
});
if (positionals.length !== 1) {
  console.error('usage: node bench.mjs MODEL.onnx [--frames N] [--threads N] [--size HxW] [--input FILE]');
  process.exit(2);
}
const frames = Number(values.frames);
const threads = Number(values.threads);
const [height, width] = values.size.split('x').map(Number);

const session = await ort.InferenceSession.create(positionals[0], {
  executionProviders: ['cpu'],
  graphOptimizationLevel: 'all',
  intraOpNumThreads: threads,
  interOpNumThreads: 1,
  executionMode: 'sequential',
});

// An open dimension is the batch where it comes first, else height, width of a picture.
function closedShape(shape) {
  const open = [1, 3, height, width];
  return shape.map((n, i) => (typeof n === 'number' && n > 0 ? n : open[i]));
}

// Any picture takes the same time; noise keeps denormals and equal scores out.
function noise(count) {
  let state = 0x2545f491;
  return Float32Array.from({ length: count }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 4294967296;
  });
}

function picture(count) {
  if (!values.input) return noise(count);
  const bytes = readFileSync(values.input);
  return new Float32Array(bytes.buffer, bytes.byteOffset, count);
}

const feeds = {};
let inputShape;
for (const input of session.inputMetadata) {
  if (input.type === 'float32') {
    inputShape = closedShape(input.shape);
    feeds[input.name] = new ort.Tensor('float32', picture(inputShape.reduce((a, b) => a * b, 1)), inputShape);
  } else if (input.type !== 'int64') {
    console.error(`bench.mjs: input ${input.name} is ${input.type}; float32 and int64 are what detectors take`);
    process.exit(1);
  }
}
for (const input of session.inputMetadata) {
  if (input.type === 'int64') {
    const size = BigInt64Array.from([BigInt(inputShape[3]), BigInt(inputShape[2])]);
    feeds[input.name] = new ort.Tensor('int64', size, closedShape(input.shape));
  }
}

if (values.input) {
  const found = await session.run(feeds);
  console.log(JSON.stringify({
    labels: Array.from(found.labels.data, Number),
    boxes: Array.from({ length: found.scores.size }, (_, i) => Array.from(found.boxes.data.slice(4 * i, 4 * i + 4))),
    scores: Array.from(found.scores.data),
  }));
  process.exit(0);
}

for (let i = 0; i < Math.max(2, Math.ceil(frames / 5)); i++) await session.run(feeds);
const times = [];
const before = process.cpuUsage();
for (let i = 0; i < frames; i++) {
  const start = performance.now();
  await session.run(feeds);
  times.push(performance.now() - start);
}
const used = process.cpuUsage(before);
times.sort((a, b) => a - b);
const rounded = (q) => Number(times[Math.floor(q * (times.length - 1))].toFixed(3));

const require = createRequire(import.meta.url);
const manifest = JSON.parse(readFileSync(require.resolve('onnxruntime-node/package.json')));
console.log(JSON.stringify({
  runtime: 'onnxruntime',
  version: manifest.version,
  threads,
  input: inputShape,
  frames,
  median_ms: rounded(0.5),
  p10_ms: rounded(0.1),
  p90_ms: rounded(0.9),
  cpu_ms: Number(((used.user + used.system) / 1e3 / frames).toFixed(3)),
}));
