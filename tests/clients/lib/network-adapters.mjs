// The clients of adapters.mjs over HTTP and WebSocket, with all that they say and hear recorded in
// the shape that trace.mjs judges. A server is {url, token}.
import WS from 'ws';
import { faceOf } from './adapters.mjs';

const info = { name: 'sandquay-clients-test', version: '1.0.0' };
const realFetch = globalThis.fetch;
let records; // of the conversation at hand

/** All fetches and WebSockets from now on belong to this list. */
export function recordTo(list) {
  records = list;
  globalThis.fetch = recordedFetch;
  globalThis.WebSocket = RecordedWebSocket;
}

async function recordedFetch(url, init) {
  const to = records;
  if (typeof init?.body === 'string') to.push({ from: 'client', line: init.body });
  const response = await realFetch(url, init);
  const type = response.headers.get('content-type') ?? '';
  if (!response.ok || !response.body) return response;
  if (type.startsWith('application/json')) {
    const text = await response.text();
    to.push({ from: 'server', line: text });
    return new Response(text, response);
  }
  if (!type.startsWith('text/event-stream')) return response;
  return new Response(response.body.pipeThrough(eventRecorder(to)), response);
}

function eventRecorder(to) {
  const decoder = new TextDecoder();
  let rest = '';
  return new TransformStream({
    transform(chunk, controller) {
      rest += decoder.decode(chunk, { stream: true });
      for (let end; (end = rest.indexOf('\n\n')) !== -1; rest = rest.slice(end + 2)) {
        const data = rest.slice(0, end).split('\n').filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trimStart()).join('\n');
        if (data) to.push({ from: 'server', line: data });
      }
      controller.enqueue(chunk);
    },
  });
}

let wsToken;
class RecordedWebSocket extends WS {
  constructor(url, protocols) {
    super(url, protocols, { headers: wsToken && { Authorization: `Bearer ${wsToken}` } });
    this.records = records;
    this.on('message', (data, binary) => this.records.push({ from: 'server', ...(binary ? { bytes: data.toString('base64') } : { line: data.toString() }) }));
  }

  send(data) {
    this.records.push({ from: 'client', line: String(data) });
    super.send(data);
  }
}

async function httpOne(version, { url, token }) {
  const { Client } = await import(`sdk-${version}/client/index.js`);
  const { StreamableHTTPClientTransport } = await import(`sdk-${version}/client/streamableHttp.js`);
  const client = new Client(info, { capabilities: {} });
  const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${token}` } } });
  const face = await faceOf(client, transport, (params, options) => client.callTool(params, undefined, options));
  return { ...face, close: async () => { await transport.terminateSession(); await client.close(); } };
}

async function httpTwo(mode, { url, token }) {
  const { Client, StreamableHTTPClientTransport } = await import('@modelcontextprotocol/client');
  const client = new Client(info, { capabilities: {}, versionNegotiation: { mode } });
  const transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${token}` } } });
  return faceOf(client, transport, (params, options) => client.callTool(params, options));
}

async function aiSdk({ url, token }) {
  const { createMCPClient } = await import('@ai-sdk/mcp');
  const errors = [];
  const client = await createMCPClient({
    transport: { type: 'http', url, headers: { Authorization: `Bearer ${token}` } }, onUncaughtError: (error) => errors.push(error) });
  return {
    errors,
    list: async () => (await client.listTools()).tools,
    call: (name, args, { signal } = {}) => client.callTool({ name, arguments: args, options: { signal } }),
    close: () => client.close(),
  };
}

async function webSocket(version, { url, token }) {
  const { Client } = await import(`sdk-${version}/client/index.js`);
  const { WebSocketClientTransport } = await import(`sdk-${version}/client/websocket.js`);
  const client = new Client(info, { capabilities: {} });
  wsToken = token;
  return faceOf(client, new WebSocketClientTransport(new URL(url.replace(/^http/, 'ws'))),
    (params, options) => client.callTool(params, undefined, options));
}

// tellsAbort: the client lets the server know when its caller gives up.
export const networkClients = [
  { name: 'SDK 1.12.3 over HTTP', revision: '2025-03-26', open: (server) => httpOne('1.12.3', server) },
  { name: 'SDK 1.19.1 over HTTP', revision: '2025-06-18', open: (server) => httpOne('1.19.1', server) },
  { name: 'SDK 1.32.2 over HTTP', revision: '2025-11-25', open: (server) => httpOne('1.32.2', server) },
  { name: 'SDK 2.4.0 legacy over HTTP', revision: '2025-11-25', open: (server) => httpTwo('legacy', server) },
  { name: 'SDK 2.4.0 auto over HTTP', revision: '2026-07-28', open: (server) => httpTwo('auto', server) },
  { name: 'SDK 2.4.0 pinned over HTTP', revision: '2026-07-28', open: (server) => httpTwo({ pin: '2026-07-28' }, server) },
  { name: '@ai-sdk/mcp over HTTP', revision: '2026-07-28', open: aiSdk },
  { name: 'SDK 1.0.4 over WebSocket', revision: '2024-11-05', open: (server) => webSocket('1.0.4', server) },
  { name: 'SDK 1.12.3 over WebSocket', revision: '2025-03-26', open: (server) => webSocket('1.12.3', server) },
  { name: 'SDK 1.19.1 over WebSocket', revision: '2025-06-18', open: (server) => webSocket('1.19.1', server) },
  { name: 'SDK 1.32.2 over WebSocket', revision: '2025-11-25', open: (server) => webSocket('1.32.2', server) },
];
