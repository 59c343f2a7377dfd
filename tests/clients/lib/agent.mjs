// The agent as a program: started against a scripted model, watched until it ends.
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { modelServer } from './model.mjs';
import { sandquay, scratch } from './product.mjs';

/** A place of its own: directory, state and TMPDIR. */
export function place(name) {
  const directory = scratch(name);
  const state = path.join(directory, 'state');
  const temp = path.join(directory, 'tmp');
  mkdirSync(temp);
  return { directory, state, temp, sessions: path.join(state, 'sandquay/sessions') };
}

export function environment(where, model, extra = {}) {
  const env = { ...process.env, XDG_STATE_HOME: where.state, TMPDIR: where.temp, ANTHROPIC_BASE_URL: model.url, ANTHROPIC_API_KEY: 'sk-ant-test', LANG: 'C.UTF-8', ...extra };
  for (const name of ['ANTHROPIC_MODEL', 'ANTHROPIC_AUTH_TOKEN', 'NO_COLOR', 'LC_ALL']) if (!(name in extra)) delete env[name];
  return env;
}

/** Starts `sandquay agent`; .done resolves to {code, signal, stdout, stderr}. */
export function start(where, model, args, { input, stdin = 'ignore', extra } = {}) {
  const child = spawn(sandquay, ['agent', ...args], {
    cwd: where.directory, env: environment(where, model, extra), stdio: [input === undefined ? stdin : 'pipe', 'pipe', 'pipe'] });
  child.text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8');
    child[name].on('data', (chunk) => { child.text[name] += chunk; });
  }
  child.done = new Promise((resolve) => child.on('close', (code, signal) => resolve({ code, signal, ...child.text })));
  if (input !== undefined) child.stdin.on('error', () => {}).end(input);
  return child;
}

/** A whole run against this script. {code, stdout, stderr, requests}. */
export async function agent(where, script, args, options) {
  const model = await modelServer(script);
  try {
    const run = await start(where, model, args, options).done;
    return { ...run, requests: model.requests };
  } finally {
    await model.close();
  }
}

export const lines = (text) => text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
