// The rows: what is done, with sandquay's tools and with the SDK. `warm`: the sandbox is there
// before, and `prepare` was run in it. A command of ours is bash's, so the SDK's and curl's are, too.
import { randomBytes } from 'node:crypto';

const BIG = 16 << 20;
const output = `head -c ${BIG} /dev/zero | tr '\\0' x`;
const hundred = Array.from({ length: 100 }, (_, i) => i);
const fifty = hundred.slice(50);

const big = () => randomBytes(BIG);

export const rows = {
  create: {
    title: 'create, one command, stop',
    ours: (tool) => tool('execute_command', { command: 'true' }),
    sdk: async (make) => {
      const sandbox = await make();
      await sandbox.runCommand('bash', ['-c', 'true']);
      await sandbox.delete();
    },
  },
  commands: {
    title: '100 commands in a row', warm: true,
    ours: async (tool) => {
      for (const _ of hundred) await tool('execute_command', { command: 'true' });
    },
    sdk: async (make, sandbox) => {
      for (const _ of hundred) await sandbox.runCommand('bash', ['-c', 'true']);
    },
  },
  parallel: {
    title: '50 commands at once', warm: true,
    ours: (tool) => Promise.all(fifty.map(() => tool('execute_command', { command: 'sleep 0.1; echo done' }))),
    sdk: (make, sandbox) => Promise.all(fifty.map(async () => (await sandbox.runCommand('bash', ['-c', 'sleep 0.1; echo done'])).stdout())),
  },
  upload: {
    title: '16 MiB up', warm: true,
    ours: async (tool) => tool('write_file', { path: 'big', content: big().toString('base64'), encoding: 'base64' }),
    sdk: async (make, sandbox) => sandbox.writeFiles([{ path: 'big', content: big() }]),
  },
  download: {
    title: '16 MiB down', warm: true,
    prepare: `head -c ${BIG} /dev/urandom > big`,
    ours: (tool) => tool('read_file', { path: 'big', offset: BIG - 100, maxBytes: 100 }),
    sdk: (make, sandbox) => sandbox.readFileToBuffer({ path: 'big' }),
  },
  output: {
    title: 'a command that prints 16 MiB', warm: true, command: output,
    ours: (tool) => tool('execute_command', { command: output, timeoutMs: 60000 }),
    sdk: async (make, sandbox) => (await sandbox.runCommand('bash', ['-c', output])).stdout(),
  },
};
