// A server on the network, and the plainest ways to talk to it: HTTP heads as text, sockets as
// bytes, where libraries would tidy up.
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { until, sandquay } from './product.mjs';

export const MODERN = '2026-07-28';
export const META = {
  'io.modelcontextprotocol/protocolVersion': MODERN,
  'io.modelcontextprotocol/clientCapabilities': {},
};
const ACCEPT = 'application/json, text/event-stream';

/** A port that nobody listens on: for who must be told one beforehand. */
export async function freePort() {
  const server = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

export class Server {
  stderr = '';

  constructor({ program = sandquay, args = ['serve', '--no-auth'], listen = '127.0.0.1:0', env = process.env } = {}) {
    this.process = spawn(program, [...args, '--listen', listen], { env, stdio: ['ignore', 'inherit', 'pipe'] });
    this.process.stderr.on('data', (chunk) => { this.stderr += chunk; });
    this.exited = new Promise((resolve) => this.process.on('exit', (code, signal) => resolve({ code, signal })));
  }

  async start() {
    const found = await until(() => this.process.exitCode !== null || this.stderr.match(/listening on (?:\w+:\/\/)?(\S+?)(\/mcp|\n)|"listening","address":"([^"]+)"/),
      'the server listens', 15000);
    if (found === true) throw new Error(`the server has ended: ${this.stderr}`);
    this.address = found[1] ?? found[3];
    this.port = Number(this.address.split(':').at(-1));
    this.token = this.stderr.match(/token of this run .*: (\w+)/)?.[1];
    this.url = `http://${this.address}/mcp`;
    return this;
  }

  get pid() {
    return this.process.pid;
  }

  /** Clock ticks (10 ms) of the processor that it has used so far. */
  ticks() {
    const fields = readFileSync(`/proc/${this.pid}/stat`, 'latin1').split(') ')[1].split(' ');
    return Number(fields[11]) + Number(fields[12]);
  }

  socket() {
    return new Socket(net.connect(this.port, '127.0.0.1'));
  }

  /** A POST as text, with what is in `more` instead or besides. */
  head(body, { method = 'POST', path = '/mcp', ...more } = {}) {
    const headers = { Host: `localhost:${this.port}`, ...(method === 'POST' && { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) }), Accept: ACCEPT, ...more };
    const lines = Object.entries(headers).filter(([, value]) => value !== undefined)
      .flatMap(([name, value]) => [value].flat().map((one) => `${name}: ${one}`));
    return `${method} ${path} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n${body}`;
  }

  /** One request on a connection of its own: {status, headers, body, json, closed}. */
  async ask(body, more) {
    const socket = this.socket();
    socket.write(this.head(typeof body === 'string' ? body : JSON.stringify(body), more));
    const answer = await socket.answer(more?.method === 'HEAD');
    socket.destroy();
    return answer;
  }

  request(method, params = {}, headers = {}) {
    return this.ask({ jsonrpc: '2.0', id: 1, method, params }, headers);
  }

  modern(method, params = {}, headers = {}) {
    return this.request(method, { _meta: META, ...params },
      { 'MCP-Protocol-Version': MODERN, 'Mcp-Method': method, ...(params.name && { 'Mcp-Name': params.name }), ...headers });
  }

  /** Initializes; gives the headers of the session. */
  async session(protocolVersion = '2025-11-25', headers = {}) {
    const { status, headers: got } = await this.request('initialize',
      { protocolVersion, capabilities: {}, clientInfo: { name: 'raw', version: '1' } }, headers);
    if (status !== 200) throw new Error(`initialize: ${status}`);
    return { ...headers, 'Mcp-Session-Id': got['mcp-session-id'], 'MCP-Protocol-Version': protocolVersion };
  }

  async stop(signal = 'SIGTERM') {
    this.process.kill(signal);
    return this.exited;
  }
}

export const serve = (options) => new Server(options).start();

/** A socket and what has come on it so far. */
export class Socket {
  bytes = Buffer.alloc(0);
  closed = false;

  constructor(socket) {
    this.socket = socket;
    socket.on('data', (chunk) => { this.bytes = Buffer.concat([this.bytes, chunk]); });
    socket.on('close', () => { this.closed = true; });
    socket.on('error', () => {});
  }

  write(bytes) {
    return new Promise((resolve) => this.socket.write(bytes, resolve));
  }

  destroy() {
    this.socket.destroy();
  }

  async text(pattern, ms = 10000) {
    return until(() => this.bytes.toString('latin1').match(pattern), `${pattern} in ${JSON.stringify(this.bytes.toString('latin1').slice(-300))}`, ms);
  }

  async end(ms = 10000) {
    await until(() => this.closed, 'the connection is closed', ms);
  }

  /** Takes the next complete answer off the front. */
  async answer(bare = false) {
    const head = await until(() => {
      const end = this.bytes.indexOf('\r\n\r\n');
      if (end !== -1) return this.bytes.subarray(0, end + 4).toString('latin1');
      return this.closed && 'closed';
    }, `an answer, not ${JSON.stringify(this.bytes.toString('latin1').slice(0, 200))}`, 15000);
    if (head === 'closed') return { status: 0, headers: {}, body: '', closed: true };
    const [first, ...lines] = head.trim().split('\r\n');
    const headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)]));
    let rest = this.bytes.subarray(head.length);
    let body;
    if (headers['transfer-encoding'] === 'chunked') {
      await until(() => this.bytes.includes('\r\n0\r\n\r\n') || this.closed, 'the end of the stream', 60000);
      rest = this.bytes.subarray(head.length);
      body = dechunk(rest);
      this.bytes = Buffer.alloc(0);
    } else {
      const length = bare ? 0 : Number(headers['content-length'] ?? 0);
      await until(() => this.bytes.length >= head.length + length || this.closed, 'the body', 15000);
      body = this.bytes.subarray(head.length, head.length + length).toString();
      this.bytes = this.bytes.subarray(head.length + length);
    }
    let json;
    try {
      json = JSON.parse(body);
    } catch { /* not every answer is */ }
    return { status: Number(first.split(' ')[1]), headers, body, json, events: events(body) };
  }
}

function dechunk(bytes) {
  const parts = [];
  for (let at = 0; ;) {
    const end = bytes.indexOf('\r\n', at);
    if (end === -1) break;
    const n = parseInt(bytes.subarray(at, end).toString(), 16);
    if (!n) break;
    parts.push(bytes.subarray(end + 2, end + 2 + n));
    at = end + 2 + n + 2;
  }
  return Buffer.concat(parts).toString();
}

/** The JSON texts of server-sent events. */
export function events(text) {
  return text.split('\n\n').flatMap((event) => {
    const data = event.split('\n').filter((line) => line.startsWith('data: ')).map((line) => line.slice(6)).join('\n');
    return data ? [JSON.parse(data)] : [];
  });
}
