// Our own client of Vercel's API: a server with --backend vercel.
import assert from 'node:assert/strict';
import { Wire } from './wire.mjs';

/** The environment without what leads to an account or through a proxy. */
export const withoutAccount = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^VERCEL_|_proxy$/i.test(name)));

export const account = (url) => ({ VERCEL_SANDBOX_API_URL: url, VERCEL_TOKEN: 'tok_test', VERCEL_TEAM_ID: 'team_test', VERCEL_PROJECT_ID: 'prj_test' });

/** structuredContent, or {code, ...} of an error. */
export function value(result) {
  if (result.isError) return JSON.parse(result.content[0].text);
  return result.structuredContent ?? result.content;
}

export async function vercelServer({ backend = 'vercel', args = [], env, cwd }) {
  const wire = new Wire({ args: ['serve', '--backend', backend, '--toolsets', 'lifecycle', ...args], env, cwd, keepRecords: false });
  await wire.initialize();
  wire.run = async (command, more = {}, meta) => value(await wire.tool('execute_command', { command, ...more }, meta));
  return wire;
}

export async function withVercelServer(use, options) {
  const wire = await vercelServer(options);
  try {
    return await use(wire);
  } finally {
    await wire.close();
    assert.doesNotMatch(wire.stderr, /Sanitizer|runtime error|tok_test/);
  }
}
