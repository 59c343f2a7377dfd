// Runs both loops several times, the best of each counts (others use this machine, too), and prints
// a table.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { call, say, stream, turn } from '../../clients/lib/model.mjs';
import { Wire } from '../../clients/lib/wire.mjs';

const TURNS = 20;
const LONG = 4 * 1024 * 1024;
const TOOL = ['sandbox_list', {}]; // asks nothing of a sandbox
const times = Number(process.argv[2] ?? 5);
const directory = mkdtempSync(path.join(tmpdir(), 'sq-bench-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));

const loops = {
  ours: [process.env.SANDQUAY, ['agent', '--backend', 'local', '--max-turns', String(TURNS + 1), 'count']],
  sdk: [process.execPath, [path.join(import.meta.dirname, 'loop.mjs'), 'count']],
};
const peak = (pid) => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))[1]) / 1024;
const median = (list) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)];

/** The streams of a run: turns with a call, then an answer. */
const working = Array.from({ length: TURNS + 1 }, (_, n) => stream(n < TURNS ? turn([say('Next.'), call(...TOOL)]) : turn(say('Done.'))));
const talking = [stream(turn(say('All work and no play makes Jack a dull boy.\n'.repeat(LONG / 44))))];

/** {first, each, last, mib}: milliseconds until the first request, between a stream's end and the next
    request, from the last request to the process's end; its peak memory before that. */
async function run([command, args], streams) {
  const gaps = [];
  let first, ended, mib, asked, child, number = 0;
  const server = createServer((request, response) => {
    request.resume();
    request.on('end', () => {
      asked = performance.now();
      if (number === 0) first = asked - started;
      else gaps.push(asked - ended);
      if (number === streams.length - 1 && number > 0) mib = peak(child.pid);
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.end(streams[number++], () => { ended = performance.now(); });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const env = { ...process.env, HOME: directory, XDG_STATE_HOME: directory, ANTHROPIC_API_KEY: 'sk-ant-bench', ANTHROPIC_BASE_URL: `http://127.0.0.1:${server.address().port}` };
  const started = performance.now();
  child = spawn(command, args, { cwd: directory, env, stdio: ['ignore', 'pipe', 'ignore'] });
  child.stdout.resume();
  const [code] = await once(child, 'close');
  const last = performance.now() - asked;
  server.closeAllConnections();
  server.close();
  if (code !== 0 || number !== streams.length) throw new Error(`${command} ended with ${code} after ${number} requests`);
  return { first, each: gaps.length ? median(gaps) : 0, last, mib };
}

/** What the tool alone takes: the median of direct calls. */
async function toolAlone() {
  const wire = new Wire({ args: ['serve', '--backend', 'local'], env: process.env, cwd: directory, keepRecords: false });
  await wire.initialize();
  const all = [];
  for (let i = 0; i < 3 * TURNS; i++) {
    const start = performance.now();
    await wire.tool(...TOOL);
    all.push(performance.now() - start);
  }
  await wire.close();
  return median(all);
}

async function best(loop, streams) {
  const all = [];
  for (let i = 0; i < times; i++) all.push(await run(loop, streams));
  return Object.fromEntries(['first', 'each', 'last', 'mib'].map((key) => [key, Math.min(...all.map((one) => one[key]))]));
}

const tool = await toolAlone();
const result = {};
for (const [name, loop] of Object.entries(loops)) result[name] = { ...await best(loop, working), long: (await best(loop, talking)).last };
const row = (name, key, unit, digits) => {
  const [a, b] = [result.ours[key], result.sdk[key]];
  console.log(`${name.padEnd(44)} ${a.toFixed(digits).padStart(9)} ${b.toFixed(digits).padStart(9)} ${unit.padEnd(3)} ${(a / b).toFixed(2)} x`);
};
console.log(`${''.padEnd(44)} ${'ours'.padStart(9)} ${'SDK'.padStart(9)}`);
row('start to the first request', 'first', 'ms', 1);
row(`a turn with a call of a tool (alone: ${tool.toFixed(2)})`, 'each', 'ms', 2);
row('memory at the last request', 'mib', 'MiB', 1);
row(`an answer of ${LONG >> 20} MiB until the process ends`, 'long', 'ms', 0);
