// `sandquay vercel-api`, and the official SDK pointed at it as docs/vercel.md says: a fetch that
// goes there instead of https://vercel.com/api.
import { spawn } from 'node:child_process';
import { until } from './product.mjs';

export const auth = { token: 'tok_opaque', teamId: 'team_test', projectId: 'prj_test' };

export class Api {
  stderr = '';

  /** owner: one of owners(). */
  constructor(owner, args = [], { listen = '127.0.0.1:0', env = {} } = {}) {
    const [program, all] = owner.command(['vercel-api', '--listen', listen, ...args]);
    this.process = spawn(program, all, { env: { ...owner.env, ...env }, stdio: ['ignore', 'inherit', 'pipe'] });
    this.process.stderr.on('data', (chunk) => { this.stderr += chunk; });
    this.exited = new Promise((resolve) => this.process.on('exit', (code, signal) => resolve({ code, signal })));
  }

  async start() {
    const found = await until(() => this.process.exitCode !== null || this.stderr.match(/API is at (https?:\/\/(\S+))\/api/),
      'the server listens', 15000);
    if (found === true) throw new Error(`the server has ended: ${this.stderr}`);
    [, this.base, this.address] = found;
    this.port = Number(this.address.split(':').at(-1));
    return this;
  }

  /** What the SDK's option `fetch` takes. */
  fetch = (url, options) => fetch(String(url).replace('https://vercel.com/api', `${this.base}/api`), options);

  /** One request, as it is: {status, headers, json, text}. */
  async ask(method, path, body, headers = {}) {
    const response = await fetch(`${this.base}${path}`, {
      method,
      headers: { authorization: 'Bearer tok_opaque', 'content-type': 'application/json', ...headers },
      ...(body !== undefined && { body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body) }),
    });
    const text = await response.text();
    let json;
    try {
      json = JSON.parse(text);
    } catch {
      // not every answer is JSON
    }
    return { status: response.status, headers: response.headers, text, json };
  }

  async stop(signal = 'SIGTERM') {
    this.process.kill(signal);
    return this.exited;
  }
}

export const serveVercel = (owner, args, more) => new Api(owner, args, more).start();
