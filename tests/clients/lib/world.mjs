// A network of the test's own, as root: a namespace that is the machine, one that is the internet
// (lib/internet.mjs), and a cable between them. Nothing of it is seen outside, and it ends with the
// two processes that hold it.
import { execFileSync, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import { clients, have, root, sandquay, scratch } from './product.mjs';

export const worldMissing = (!root && 'network namespaces need root') ||
  ['ip', 'nsenter', 'unshare', 'curl'].map((name) => !have(name) && `${name} is not installed`).find(Boolean) || false;

const MACHINE = ['ip link set lo up', 'ip link set cable up', 'ip addr add 198.51.100.2/24 dev cable',
  'ip -6 addr add 2001:db8:100::2/64 dev cable nodad', 'ip route add default via 198.51.100.1',
  'ip -6 route add default via 2001:db8:100::1'];
const INTERNET = ['ip link set lo up', 'ip link set cable up', 'ip addr add 198.51.100.1/24 dev cable',
  'ip -6 addr add 2001:db8:100::1/64 dev cable nodad',
  ...['203.0.113.10', '203.0.113.53', '10.1.2.3', '169.254.169.254', '168.63.129.16'].map((one) => `ip addr add ${one}/32 dev lo`),
  'ip -6 addr add 2001:db8:5::10/128 dev lo nodad', 'ip -6 addr add fd00:5::10/128 dev lo nodad'];

export async function world() {
  const directory = scratch('world');
  const resolv = path.join(directory, 'resolv.conf');
  writeFileSync(resolv, 'nameserver 203.0.113.53\noptions timeout:2 attempts:1\n');
  const hold = () => spawn('unshare', ['-n', 'cat'], { stdio: ['pipe', 'ignore', 'inherit'] });
  const [machine, internet] = [hold(), hold()];
  const inside = (one, command) => execFileSync('nsenter', ['-t', String(one.pid), '-n', '--', ...command.split(' ')]);
  await Promise.all([machine, internet].map(unshared));
  execFileSync('ip', ['link', 'add', 'cable', 'netns', String(machine.pid), 'type', 'veth',
    'peer', 'name', 'cable', 'netns', String(internet.pid)]);
  for (const command of MACHINE) inside(machine, command);
  for (const command of INTERNET) inside(internet, command);

  const server = spawn('nsenter', ['-t', String(internet.pid), '-n', '--', process.execPath, path.join(clients, 'lib/internet.mjs')],
    { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = readline.createInterface({ input: server.stdout })[Symbol.asyncIterator]();
  if ((await lines.next()).value !== 'ready') throw new Error('the test\'s internet did not start');

  return {
    /** A program of the machine, as [program, args]: in its network, with its resolv.conf; `first`:
     * shell text that is run before. */
    command: (program, args, first = ':') => ['nsenter', ['-t', String(machine.pid), '-n', '--', 'unshare', '-m', 'sh', '-c',
      `mount --bind "$0" /etc/resolv.conf && { ${first}; } && exec "$@"`, resolv, program, ...args]],
    serve(...flags) {
      const [program, args] = this.command(sandquay, ['serve', ...flags]);
      return { program, args };
    },
    async seen() {
      server.stdin.write('?\n');
      return JSON.parse((await lines.next()).value);
    },
    close() {
      for (const one of [server, machine, internet]) one.stdin.end();
    },
  };
}

/** Resolves once the process has a network namespace of its own. */
async function unshared(child) {
  const { readlinkSync } = await import('node:fs');
  const own = readlinkSync('/proc/self/ns/net');
  for (let i = 0; i < 500; i++) {
    try {
      if (readlinkSync(`/proc/${child.pid}/ns/net`) !== own) return;
    } catch { /* not yet there */ }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error('unshare -n did not work');
}
