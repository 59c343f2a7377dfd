// Reads a tar archive as strictly as the tests need: ustar with pax headers for `path` and `size`.
const BLOCK = 512;
const text = (bytes) => bytes.subarray(0, bytes.indexOf(0) === -1 ? bytes.length : bytes.indexOf(0)).toString();
const octal = (bytes) => parseInt(text(bytes).trim() || '0', 8);

function pax(bytes) {
  const found = {};
  for (let at = 0; at < bytes.length;) {
    const space = bytes.indexOf(32, at);
    const length = Number(bytes.subarray(at, space));
    const record = bytes.subarray(space + 1, at + length - 1).toString();
    const equals = record.indexOf('=');
    found[record.slice(0, equals)] = record.slice(equals + 1);
    at += length;
  }
  return found;
}

/** [{name, mode, type, bytes}]; throws on what is no whole archive. */
export function readTar(archive) {
  const entries = [];
  let extra = {};
  for (let at = 0; ;) {
    const head = archive.subarray(at, at + BLOCK);
    if (head.length < BLOCK) throw new Error('the archive ends early');
    if (head.every((byte) => byte === 0)) return entries;
    if (!head.subarray(257, 262).equals(Buffer.from('ustar'))) throw new Error('not ustar');
    let sum = 8 * 32;
    for (let i = 0; i < BLOCK; i++) if (i < 148 || i >= 156) sum += head[i];
    if (octal(head.subarray(148, 156)) !== sum) throw new Error('bad checksum');
    const type = String.fromCharCode(head[156]);
    const size = Number(extra.size ?? octal(head.subarray(124, 136)));
    const bytes = archive.subarray(at + BLOCK, at + BLOCK + size);
    if (bytes.length < size) throw new Error('the archive ends early');
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
    if (type === 'x') {
      extra = pax(bytes);
      continue;
    }
    const prefix = text(head.subarray(345, 500));
    const name = extra.path ?? (prefix ? `${prefix}/` : '') + text(head.subarray(0, 100));
    entries.push({ name, mode: octal(head.subarray(100, 108)), type, bytes });
    extra = {};
  }
}
