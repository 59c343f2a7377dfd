// A program for Vercel Sandbox as anybody would write it: it knows nothing of sandquay.
import { Sandbox } from '@vercel/sandbox';
import { WebSocket } from 'ws';

const sandbox = await Sandbox.create({ token: 'tok_opaque', teamId: 'team_test', projectId: 'prj_test', name: 'plain', ports: [3000] });
await sandbox.writeFiles([{ path: 'hello.txt', content: 'hello' }]);
const out = await (await sandbox.runCommand('cat', ['hello.txt'])).stdout();
const { url, token } = await sandbox.openInteractive();
const health = (await fetch(`https://${new URL(url).hostname}/health`)).status;
const terminal = new WebSocket(`${url}?token=${encodeURIComponent(token)}`);
let shown = '';
let code;
terminal.on('message', (data, binary) => { if (binary) shown += data; else ({ code } = JSON.parse(data)); });
terminal.on('open', () => terminal.send(JSON.stringify({ type: 'start', command: 'sh', args: ['-c', 'echo "$0"; tty; exit 6'], env: [], cwd: sandbox.currentSession().cwd, cols: 80, rows: 24 })));
await new Promise((resolve, reject) => { terminal.on('close', resolve); terminal.on('error', reject); });
// A server in the sandbox, at the name that the SDK gives it: pages, a body up, a WebSocket.
const program = String.raw`
import http from 'node:http';
import { createHash } from 'node:crypto';
const server = http.createServer(async (request, response) => {
  let n = 0;
  for await (const chunk of request) n += chunk.length;
  response.end(request.method === 'POST' ? String(n) : request.url.startsWith('/big') ? Buffer.alloc(3 << 20, 'b') : request.headers.host + request.url);
});
server.on('upgrade', (request, socket) => {
  const accept = createHash('sha1').update(request.headers['sec-websocket-key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  socket.write('HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ' + accept + '\r\n\r\n');
  socket.write(Buffer.concat([Buffer.from([0x81, 5]), Buffer.from('hello')]));
});
server.listen(3000, () => console.log('up'));
`;
await sandbox.writeFiles([{ path: 'server.mjs', content: program }]);
const domain = sandbox.domain(3000);
const early = (await fetch(domain)).status;
const serving = await sandbox.runCommand({ cmd: 'node', args: ['server.mjs'], detached: true });
for await (const { data } of serving.logs()) if (data.includes('up')) break;
const page = (await (await fetch(`${domain}/page?x=1`)).text()).replace(new URL(domain).host, 'HOST');
const big = (await (await fetch(`${domain}/big`)).arrayBuffer()).byteLength;
const posted = await (await fetch(domain, { method: 'POST', body: Buffer.alloc(5 << 20) })).text();
const many = (await Promise.all(Array.from({ length: 20 }, async (_, i) => (await fetch(`${domain}/${i}`)).status))).every((status) => status === 200);
const socket = new WebSocket(domain.replace('https:', 'wss:'));
const greeting = await new Promise((resolve, reject) => { socket.on('message', (data) => resolve(String(data))); socket.on('error', reject); });
socket.terminate();
const { snapshot } = await sandbox.stop();
const late = (await fetch(domain)).status;
await sandbox.delete({ deleteOrphanSnapshots: true });
console.log(JSON.stringify({ out, health, url, shown, code, snapshot: snapshot.status, domain, early, page, big, posted, many, greeting, late }));
