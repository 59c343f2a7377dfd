// The other end of the world of lib/world.mjs: run as a program in a network namespace, it is a
// small internet. Web servers on ports 80 and 8080 and an echo on port 7 that say at which address
// they were reached, and a name server that counts what it is asked.
//
// It prints "ready" once it serves; each line on stdin is answered by one line of JSON:
// {queries: {name: count}, accepted: {address: count}, proxied: [request]}.
import dgram from 'node:dgram';
import http from 'node:http';
import net from 'node:net';
import readline from 'node:readline';

const PUBLIC = '203.0.113.10';
const PRIVATE = '10.1.2.3';
// What a name has; a list of lists: one after the other, the last one for ever.
const names = {
  'good.example': [PUBLIC],
  'www.good.example': [PUBLIC],
  'deep.www.good.example': [PUBLIC],
  'other.example': [PUBLIC],
  'six.example': ['2001:db8:5::10'],
  'both.example': ['2001:db8:5::dead', PUBLIC], // the IPv6 one does not answer
  'private.example': [PRIVATE],
  'mixed.example': [PRIVATE, PUBLIC],
  'metadata.example': ['169.254.169.254'],
  'loopback.example': ['127.0.0.1'],
  'zero.example': ['0.0.0.0'],
  'host.example': ['198.51.100.2'],
  'mapped.example': ['::ffff:10.1.2.3'],
  'nat64.example': ['64:ff9b::a01:203'],
  'rebind.example': [[PUBLIC], [PRIVATE]],
  'again.example': [[PUBLIC], [PRIVATE]],
};
const queries = {};
const accepted = {};
const turns = {};
const count = (table, key) => { table[key] = (table[key] ?? 0) + 1; };

function addresses(name) {
  const list = names[name];
  if (!list || !Array.isArray(list[0])) return list;
  // Both families of one look-up see the same turn.
  const turn = Math.floor((turns[name] = (turns[name] ?? -1) + 1) / 2);
  return list[Math.min(turn, list.length - 1)];
}

function sixteen(address) {
  const [head, tail = ''] = address.split('::');
  const words = (text) => text.split(':').filter(Boolean).flatMap((word) => {
    if (!word.includes('.')) return [parseInt(word, 16)];
    const [a, b, c, d] = word.split('.').map(Number);
    return [a * 256 + b, c * 256 + d];
  });
  const front = words(head);
  const back = words(tail);
  const all = address.includes('::') ? [...front, ...Array(8 - front.length - back.length).fill(0), ...back] : front;
  return Buffer.from(all.flatMap((word) => [word >> 8, word & 255]));
}

function answer(query) {
  let at = 12;
  const labels = [];
  for (; query[at]; at += query[at] + 1) labels.push(query.subarray(at + 1, at + 1 + query[at]).toString());
  const name = labels.join('.').toLowerCase();
  const type = query.readUInt16BE(at + 1);
  count(queries, name);
  const list = addresses(name);
  const wanted = (list ?? []).filter((one) => (type === 28) === one.includes(':') && (type === 1 || type === 28));
  const head = Buffer.from(query.subarray(0, 12));
  head.writeUInt16BE(list ? 0x8180 : 0x8183, 2);
  head.writeUInt16BE(wanted.length, 6);
  head.writeUInt32BE(0, 8);
  const records = wanted.map((one) => {
    const data = type === 28 ? sixteen(one) : Buffer.from(one.split('.').map(Number));
    return Buffer.concat([Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, data.length]), data]);
  });
  return Buffer.concat([head, query.subarray(12, at + 5), ...records]);
}

const listening = [];
const until = (server, ...where) => listening.push(new Promise((resolve, reject) => {
  server.once('error', reject);
  if (server.bind) server.bind(...where, resolve);
  else server.listen(...where, resolve);
}));

const dns = dgram.createSocket('udp4');
dns.on('message', (query, from) => dns.send(answer(query), from.port, from.address));
until(dns, 53, '203.0.113.53'); // so that answers come from where they are expected

const reached = (socket) => socket.localAddress.replace(/^::ffff:/, '');
const web = http.createServer((request, response) => {
  if (request.url === '/redirect') response.writeHead(302, { location: `http://${PRIVATE}/secret` });
  if (request.url === '/metadata') response.writeHead(302, { location: 'http://169.254.169.254/latest/' });
  let bytes = 0;
  request.on('data', (chunk) => { bytes += chunk.length; });
  request.on('end', () => {
    if (request.url.startsWith('/bytes/')) response.end(Buffer.alloc(Number(request.url.slice(7)), 'x'));
    else response.end(`${request.method} ${request.url} at ${reached(request.socket)} for ${request.headers.host}, ${bytes} bytes\n`);
  });
});
web.on('connection', (socket) => count(accepted, reached(socket)));
until(web, 80, '::');
const other = http.createServer(web.listeners('request')[0]);
other.on('connection', (socket) => count(accepted, reached(socket)));
until(other, 8080, '::');
until(net.createServer((socket) => {
  count(accepted, reached(socket));
  socket.on('error', () => {});
  socket.pipe(socket);
}), 7, '::');

// The machine's own proxy: it alone knows what only-proxy.example is.
const proxied = [];
const proxy = http.createServer((request, response) => {
  proxied.push(`${request.method} ${request.url} ${request.headers['proxy-authorization'] ?? ''}`.trim());
  response.end(`proxied ${request.url}\n`);
});
proxy.on('connect', (request, socket) => {
  proxied.push(`CONNECT ${request.url} ${request.headers['proxy-authorization'] ?? ''}`.trim());
  socket.on('error', () => {});
  if (request.url.startsWith('forbidden.')) return socket.end('HTTP/1.1 403 No\r\n\r\n');
  const out = net.connect(7, '203.0.113.10', () => {
    socket.write('HTTP/1.1 200 OK\r\n\r\n');
    socket.pipe(out).pipe(socket);
  });
  out.on('error', () => socket.destroy());
});
until(proxy, 3128, '198.51.100.1');

await Promise.all(listening);
console.log('ready');
for await (const line of readline.createInterface({ input: process.stdin })) {
  if (line) console.log(JSON.stringify({ queries, accepted, proxied }));
}
process.exit(0);
