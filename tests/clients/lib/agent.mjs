// The agent as a program: started against a scripted model, watched until it ends.
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { modelServer } from './model.mjs';
import { sandquay, scratch, until } from './product.mjs';

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

/** The agent on a terminal: {type(text), shown(what, ms), screen(), done, pid()}. */
export function terminal(where, model, args, { cols = 100, rows = 30, extra, shell } = {}) {
  // shell: a command line in which "$@" is the agent.
  const program = [...(shell ? ['sh', '-c', shell, 'sh'] : []), sandquay, 'agent', ...args];
  const child = spawn('python3', [path.join(import.meta.dirname, 'terminal.py'), cols, rows, ...program], {
    cwd: where.directory, env: environment(where, model, { TERM: 'xterm', ...extra }), stdio: ['pipe', 'pipe', 'inherit'] });
  let screen = '';
  let from = 0;
  child.stdout.setEncoding('utf8');
  child.stdout.on('data', (chunk) => { screen += chunk; });
  const done = new Promise((resolve) => child.on('close', (code) => resolve({ code, screen })));
  return {
    done,
    pid: child.pid,
    screen: () => screen,
    type: (text) => child.stdin.write(text),
    /** Waits until this appears behind what was waited for before; returns what came until then. */
    async shown(what, ms = 5000) {
      return until(() => {
        const found = typeof what === 'string' ? screen.indexOf(what, from) : screen.slice(from).search(what) + from;
        if (found < from) return undefined;
        const before = screen.slice(from, found);
        from = typeof what === 'string' ? found + what.length : found + screen.slice(found).match(what)[0].length;
        return { before };
      }, `${what} on the screen, which is ${JSON.stringify(screen.slice(from))}`, ms);
    },
  };
}

/** What a terminal shows in the end: erased lines and colours taken out. */
export const plain = (screen) => screen.replace(/\x1b\[[0-9;?]*[a-zA-Z]/g, (code) => (code === '\x1b[K' ? '\x00' : ''))
  .split('\n').map((line) => line.replace(/\r$/, '').replace(/^.*\r\x00/s, '')).join('\n');
