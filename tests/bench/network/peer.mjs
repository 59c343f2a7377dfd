// The TypeScript SDK's server over Streamable HTTP and, since it has no transport for that, over WebSocket with
// one of a dozen lines: the peer of the measurements over the network.
import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../clients/package.json', import.meta.url));
const { McpServer } = require('sdk-1.32.2/server/mcp.js');
const { StreamableHTTPServerTransport } = require('sdk-1.32.2/server/streamableHttp.js');
const { WebSocketServer } = require('ws');

const uri = 'sandbox://default/tmp/big';
const text = 'x'.repeat(4 * 1024 * 1024);
function offer() {
  const server = new McpServer({ name: 'peer', version: '1' });
  server.registerResource('big', uri, { mimeType: 'text/plain' }, () => ({ contents: [{ uri, mimeType: 'text/plain', text }] }));
  return server;
}

const sessions = new Map();
async function transportOf(request) {
  const known = sessions.get(request.headers['mcp-session-id']);
  if (known) return known;
  const transport = new StreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID, enableJsonResponse: true, onsessioninitialized: (id) => sessions.set(id, transport) });
  await offer().connect(transport);
  return transport;
}
const http = createServer(async (request, response) => (await transportOf(request)).handleRequest(request, response));

class Socket {
  constructor(socket) {
    this.socket = socket;
    socket.on('message', (data) => this.onmessage?.(JSON.parse(data)));
    socket.on('close', () => this.onclose?.());
  }
  async start() {}
  async send(message) { this.socket.send(JSON.stringify(message)); }
  async close() { this.socket.close(); }
}
new WebSocketServer({ server: http, handleProtocols: () => 'mcp' }).on('connection', (socket) => offer().connect(new Socket(socket)));

http.listen(0, '127.0.0.1', () => console.error(`listening on http://127.0.0.1:${http.address().port}/mcp`));
