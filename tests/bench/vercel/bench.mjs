// Runs every row with sandquay, the SDK and curl, each in processes of its own, and prints a table.
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { serveVercel } from '../../clients/lib/vercel.mjs';
import { Wire } from '../../clients/lib/wire.mjs';
import { rows } from './rows.mjs';

const here = import.meta.dirname;
const directory = mkdtempSync(path.join(tmpdir(), 'sq-bench-'));
process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
const state = { XDG_STATE_HOME: path.join(directory, 'state'), HOME: directory, TMPDIR: directory };
const api = await serveVercel({ command: (args) => [process.env.SANDQUAY, args], env: { ...process.env, ...state } },
  ['--max-sandboxes', '100', '--max-commands', '200']);
const base = `${api.base}/api`;
const account = { VERCEL_SANDBOX_API_URL: base, VERCEL_TOKEN: 'tok', VERCEL_TEAM_ID: 'team', VERCEL_PROJECT_ID: 'prj' };

const peak = (pid) => Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))[1]) / 1024;

/** {ms, mib} of sandquay: started, the row, ended. */
async function ours(row) {
  const wire = new Wire({ args: ['serve', '--backend', 'vercel', '--max-commands', '200'], env: { ...process.env, ...state, ...account }, cwd: directory, keepRecords: false });
  const tool = async (name, args) => {
    const result = await wire.tool(name, args);
    if (result.isError) throw new Error(result.content[0].text);
    return result.structuredContent ?? result.content;
  };
  await wire.initialize();
  if (row.warm) await tool('execute_command', { command: row.prepare ?? 'true' });
  const start = performance.now();
  await row.ours(tool, wire);
  let ms = performance.now() - start;
  const mib = peak(wire.pid);
  const closing = performance.now();
  await wire.close();
  if (!row.warm) ms += performance.now() - closing;
  return { ms, mib };
}

/** The same of the SDK, in a process of its own. */
function sdk(name) {
  const child = spawn(process.execPath, [path.join(here, 'sdk.mjs'), name, base], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk) => { text += chunk; });
  return new Promise((resolve, reject) => child.on('close', (code) => (code ? reject(new Error(`the SDK's process ended with ${code}`)) : resolve(JSON.parse(text)))));
}

/** The best of a few, since others use this machine, too. */
async function best(times, once) {
  const all = [];
  for (let i = 0; i < times; i++) all.push(await once());
  return { ms: Math.min(...all.map((one) => one.ms)), mib: Math.min(...all.map((one) => one.mib)) };
}

/** What curl needs for the same requests, bare: milliseconds each. */
function curl(name) {
  const auth = ['-s', '-H', 'authorization: Bearer tok', '-H', 'content-type: application/json'];
  const q = 'teamId=team';
  const made = JSON.parse(execFileSync('curl', [...auth, '-d', JSON.stringify({ projectId: 'prj', ports: [], name: `floor-${name}-${Date.now()}`, persistent: false }), `${base}/v3/sandboxes?${q}`]));
  const session = `${base}/v2/sandboxes/sessions/${made.session.id}`;
  try {
    if (name === 'commands') {
      const config = path.join(directory, 'curl');
      const one = `url = "${session}/cmd?${q}"\ndata = "{\\"command\\":\\"bash\\",\\"args\\":[\\"-c\\",\\"true\\"],\\"env\\":{},\\"sudo\\":false,\\"wait\\":true,\\"logs\\":true}"\noutput = /dev/null\n` +
        'header = "authorization: Bearer tok"\nheader = "content-type: application/json"\n';
      writeFileSync(config, Array(100).fill(one).join('next\n'));
      const start = performance.now();
      execFileSync('curl', ['-s', '-K', config]);
      return performance.now() - start;
    }
    if (name === 'download') {
      execFileSync('curl', [...auth, '-o', '/dev/null', '-d', JSON.stringify({ command: 'sh', args: ['-c', 'head -c 16777216 /dev/urandom > big'], env: {}, sudo: false, wait: true }), `${session}/cmd?${q}`]);
      const start = performance.now();
      execFileSync('curl', [...auth, '-o', '/dev/null', '-d', '{"path":"big"}', `${session}/fs/read?${q}`]);
      return performance.now() - start;
    }
    if (name === 'output') {
      const start = performance.now();
      execFileSync('curl', [...auth, '-o', '/dev/null', '-d', JSON.stringify({ command: 'bash', args: ['-c', rows.output.command], env: {}, sudo: false, wait: true, logs: true }), `${session}/cmd?${q}`]);
      return performance.now() - start;
    }
    return undefined;
  } finally {
    execFileSync('curl', [...auth, '-o', '/dev/null', '-X', 'DELETE', `${base}/v2/sandboxes/${made.sandbox.name}?${q}&projectId=prj`]);
  }
}

const wanted = process.argv.slice(2);
const fixed = (number, digits = 1) => (number === undefined ? '' : number.toFixed(digits));
console.log(['row', 'sandquay ms', 'SDK ms', 'ratio', 'sandquay MiB', 'SDK MiB', 'ratio', 'curl ms'].join(' | '));
for (const [name, row] of Object.entries(rows)) {
  if (wanted.length && !wanted.includes(name)) continue;
  const a = await best(3, () => ours(row));
  const b = await best(3, () => sdk(name));
  const c = Math.min(...[1, 2, 3].map(() => curl(name) ?? NaN));
  console.log([row.title, fixed(a.ms), fixed(b.ms), fixed(a.ms / b.ms, 2), fixed(a.mib), fixed(b.mib), fixed(a.mib / b.mib, 2), Number.isNaN(c) ? '' : fixed(c)].join(' | '));
}
await api.stop();
