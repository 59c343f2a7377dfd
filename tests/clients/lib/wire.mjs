// The plainest MCP client: lines to a process and from it. What the tests about processes use,
// where the SDKs would tidy up behind the server's back.
import { spawn } from 'node:child_process';
import { sandquay } from './product.mjs';

export class RpcError extends Error {
  constructor(error) {
    super(`${error.code} ${error.message}`);
    this.code = error.code;
    this.data = error.data;
  }
}

export class Wire {
  #pending = new Map();
  #nextId = 1;
  #rest = [];
  /** Every line in the shape that lib/trace.mjs judges. */
  records = [];
  notifications = [];
  stderr = '';

  constructor({ program = sandquay, args = ['serve'], env = process.env, cwd, keepRecords = true } = {}) {
    this.keepRecords = keepRecords;
    this.process = spawn(program, args, { env, cwd, stdio: ['pipe', 'pipe', 'pipe'] });
    this.pid = this.process.pid;
    this.closed = new Promise((resolve) =>
      this.process.on('close', (code, signal) => {
        for (const { reject } of this.#pending.values()) reject(new Error(`the server has ended (${code ?? signal}): ${this.stderr}`));
        this.#pending.clear();
        resolve({ code, signal });
      }));
    this.exited = new Promise((resolve) => this.process.on('exit', (code, signal) => resolve({ code, signal })));
    this.process.on('error', () => {});
    this.process.stdin.on('error', () => {});
    this.process.stdout.on('error', () => {});
    this.process.stdout.on('data', (chunk) => this.#data(chunk));
    this.process.stdout.on('end', () => {
      if (this.#rest.length) this.records.push({ from: 'server', bytes: Buffer.concat(this.#rest).toString('base64') });
    });
    this.process.stderr.on('data', (chunk) => { this.stderr += chunk; });
  }

  #data(chunk) {
    let start = 0;
    for (let end; (end = chunk.indexOf(10, start)) !== -1; start = end + 1) {
      const line = Buffer.concat([...this.#rest, chunk.subarray(start, end)]).toString();
      this.#rest = [];
      this.#line(line);
    }
    if (start < chunk.length) this.#rest.push(chunk.subarray(start));
  }

  #line(line) {
    if (this.keepRecords) this.records.push({ from: 'server', line });
    let message;
    try {
      message = JSON.parse(line);
    } catch {
      return; // the judge finds it
    }
    const waiter = this.#pending.get(message.id);
    if (waiter && !message.method) {
      this.#pending.delete(message.id);
      if (message.error) waiter.reject(new RpcError(message.error));
      else waiter.resolve(message.result);
    } else {
      this.notifications.push(message);
      this.onMessage?.(message);
    }
  }

  /** The next message that is no answer to a request() of ours. */
  next() {
    const message = new Promise((resolve) => {
      this.onMessage = (message) => {
        this.onMessage = undefined;
        resolve(message);
      };
    });
    return within(10000, message, 'a message');
  }

  /** Bytes as they are; resolves when the pipe took them. */
  raw(bytes) {
    return new Promise((resolve) => this.process.stdin.write(bytes, resolve));
  }

  send(message) {
    const line = JSON.stringify({ jsonrpc: '2.0', ...message });
    if (this.keepRecords) this.records.push({ from: 'client', line });
    return this.raw(line + '\n');
  }

  request(method, params, { id = this.#nextId++ } = {}) {
    const answer = new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      if (this.process.exitCode !== null) reject(new Error(`the server has ended: ${this.stderr}`));
      void this.send({ id, method, params });
    });
    return within(90000, answer, `an answer to ${method}`);
  }

  notify(method, params) {
    return this.send({ method, params });
  }

  async initialize(protocolVersion = '2025-11-25') {
    const result = await this.request('initialize', {
      protocolVersion, capabilities: {}, clientInfo: { name: 'wire', version: '1' } });
    await this.notify('notifications/initialized');
    return result;
  }

  ping() {
    return this.request('ping');
  }

  tool(name, args = {}, meta) {
    return this.request('tools/call', { name, arguments: args, ...(meta && { _meta: meta }) });
  }

  /** The structured answer of execute_command; throws on isError. */
  async run(command, args = {}) {
    const result = await this.tool('execute_command', { command, ...args });
    if (result.isError) throw new Error(result.content[0].text);
    return result.structuredContent;
  }

  /** As a polite client ends: EOF; resolves to {code, signal}. */
  close() {
    this.process.stdin.end();
    return this.closed;
  }
}

/** A promise, or an error when it takes too long. */
export function within(ms, promise, what) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} did not come within ${ms} ms`)), ms).unref();
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Connected and with the handshake done. */
export async function connect(options) {
  const wire = new Wire(options);
  await wire.initialize();
  return wire;
}
