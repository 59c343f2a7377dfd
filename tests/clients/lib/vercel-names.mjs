// A name server of the test's own: every host below vercel.run is this machine. node vercel-names.mjs
import dgram from 'node:dgram';

const server = dgram.createSocket('udp4');
server.on('message', (query, from) => {
  let end = 12;
  while (query[end]) end += query[end] + 1;
  const known = /\x06vercel\x03run$/.test(query.subarray(12, end).toString('latin1').toLowerCase());
  const found = known && query.readUInt16BE(end + 1) === 1;
  const head = Buffer.from(query.subarray(0, 12));
  head.writeUInt16BE(known ? 0x8180 : 0x8183, 2);
  head.writeUInt16BE(found ? 1 : 0, 6);
  head.writeUInt32BE(0, 8);
  const record = found ? [Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1])] : [];
  server.send(Buffer.concat([head, query.subarray(12, end + 5), ...record]), from.port, from.address);
});
server.bind(53, '127.0.0.1', () => console.log('ready'));
process.stdin.resume().on('end', () => process.exit());
