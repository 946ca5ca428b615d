// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Times an ONNX file on ONNX Runtime's CPU provider: one picture a run, input shapes as the file has them.
//
//   node bench.mjs MODEL.onnx [--frames N] [--threads N] [--size HxW]
//
// Prints one JSON object; times are wall-clock milliseconds of session.run(). --size fills in height and width where the
// file leaves them open.
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
  },
});
if (positionals.length !== 1) {
  console.error('usage: node bench.mjs MODEL.onnx [--frames N] [--threads N] [--size HxW]');
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

const feeds = {};
let inputShape;
for (const input of session.inputMetadata) {
  const shape = closedShape(input.shape);
  const count = shape.reduce((a, b) => a * b, 1);
  if (input.type === 'float32') {
    inputShape = shape;
    feeds[input.name] = new ort.Tensor('float32', noise(count), shape);
  } else if (input.type === 'int64') {
    feeds[input.name] = new ort.Tensor('int64', BigInt64Array.from({ length: count }, () => 640n), shape);
  } else {
    console.error(`bench.mjs: input ${input.name} is ${input.type}; float32 and int64 are what detectors take`);
    process.exit(1);
  }
}

const times = [];
for (let i = -Math.ceil(frames / 5); i < frames; i++) {
  const start = performance.now();
  await session.run(feeds);
  if (i >= 0) times.push(performance.now() - start);
}
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
}));
