// SPDX-License-Identifier: LGPL-2.1-or-later
//
// Runs gst-deim and ONNX Runtime in turn and prints a table: node pairs.mjs DEIM PAIRS FRAMES [MODEL ONNX]...
//
// A pair is one run of each, one after the other, so that a machine that slows down slows both. Every run gives the
// median of its frames; the table has the median over the runs, and of the ratios within pairs their median and range.
// A frame of gst-deim is the whole way: a picture of the network's size is uploaded, converted, resampled and detected in,
// and detections are read back. ONNX Runtime's is the network and its post-processing, from a tensor.
import { execFileSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const [deim, pairs, frames, ...files] = process.argv.slice(2);
const peer = join(dirname(fileURLToPath(import.meta.url)), 'bench.mjs');
const threads = String(availableParallelism());

// find(result): the median in milliseconds.
function measure(command, args, find) {
  const output = execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
  const result = JSON.parse(output);
  const ms = find(result);
  if (!(ms > 0)) throw new Error(`${command} ${args.join(' ')}: no time in what it printed`);
  return { ms, ...result };
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const lines = [];
let about = '';
for (let i = 0; i < files.length; i += 2) {
  const [model, onnx] = files.slice(i, i + 2);
  const ours = [];
  const theirs = [];
  for (let pair = 1; pair <= Number(pairs); pair++) {
    process.stderr.write(`peers: ${basename(model)}, pair ${pair} of ${pairs}\n`);
    // Which of the two goes first alternates as well.
    const runs = [
      () => ours.push(measure(deim, ['bench', model, '--frames', frames, '--json'], (r) => r.latency_ms.median)),
      () => theirs.push(
        measure(process.execPath, [peer, onnx, '--frames', frames, '--threads', threads], (r) => r.median_ms)),
    ];
    if (pair % 2 === 0) runs.reverse();
    runs.forEach((run) => run());
  }
  const ratios = ours.map((run, k) => run.ms / theirs[k].ms);
  about = `gst-deim on ${ours[0].device}; ONNX Runtime ${theirs[0].version} on ${theirs[0].threads} threads; ` +
    `${pairs} pairs of ${frames} frames`;
  lines.push([
    basename(model).replace(/\.[^.]*$/, ''),
    median(ours.map((run) => run.ms)).toFixed(1),
    median(theirs.map((run) => run.ms)).toFixed(1),
    median(ratios).toFixed(2),
    `${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)}`,
  ]);
}

console.log(`${about}\n`);
console.log('| network | gst-deim, ms | ONNX Runtime, ms | ratio | range |\n|---|---|---|---|---|');
for (const line of lines) console.log(`| ${line.join(' | ')} |`);
