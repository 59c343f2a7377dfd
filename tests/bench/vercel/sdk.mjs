// One row with the official SDK: node sdk.mjs ROW BASE prints {ms, mib}.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { rows } from './rows.mjs';

const require = createRequire(path.resolve(import.meta.dirname, '../../clients/package.json'));
const { Sandbox } = await import(require.resolve('@vercel/sandbox'));
const [name, base] = process.argv.slice(2);
const options = { token: 'tok', teamId: 'team', projectId: 'prj', persistent: false,
  fetch: (url, more) => fetch(String(url).replace('https://vercel.com/api', base), more) };
const row = rows[name];
const make = () => Sandbox.create({ ...options, name: `sdk-${process.pid}-${Date.now()}` });
const sandbox = row.warm ? await make() : undefined;
if (sandbox) await sandbox.runCommand('bash', ['-c', row.prepare ?? 'true']);
const start = performance.now();
await row.sdk(make, sandbox);
const ms = performance.now() - start;
const mib = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'latin1'))[1]) / 1024;
if (sandbox) await sandbox.delete();
console.log(JSON.stringify({ ms, mib }));
process.exit(0);
