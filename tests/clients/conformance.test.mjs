// The official conformance suite, two releases of it, on the fixture: nothing may fail, nothing may
// be a warning. On the product with a list of the scenarios that need the fixture's tools.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { serve } from './lib/network.mjs';
import { build, clients as here, node24, scratch } from './lib/product.mjs';

const directory = scratch('conformance');
const suites = {
  '0.1.16, all': ['conformance-0.1.16', '--suite', 'all'],
  '0.2.0, 2025-11-25': ['conformance-0.2.0', '--requirements', '2025-11-25'],
  '0.2.0, 2026-07-28': ['conformance-0.2.0', '--requirements', '2026-07-28'],
};

let run = 0;
/** {status, stdout, checks}: checks are those of all scenarios, as the suite has stored them. */
function judge(url, [name, ...args]) {
  const output = path.join(directory, String(run++));
  const program = path.join(here, 'node_modules', name, 'dist/index.js');
  return new Promise((resolve) => {
    execFile(node24, [program, 'server', '--url', url, ...args, '-o', output], { maxBuffer: 1 << 26, cwd: directory },
      (error, stdout, stderr) => resolve({ status: error ? error.code : 0, stdout, stderr, checks: stored(output) }));
  });
}

function stored(output) {
  if (!existsSync(output)) return [];
  return readdirSync(output, { recursive: true }).filter((name) => name.endsWith('checks.json'))
    .flatMap((name) => JSON.parse(readFileSync(path.join(output, name))).map((check) => ({ scenario: name.split('/')[0], ...check })));
}

const bad = ({ status }) => status === 'FAILURE' || status === 'WARNING';

describe('the fixture', () => {
  let server;
  before(async () => { server = await serve({ program: path.join(build, 'tests/mcp-fixture'), args: [] }); });
  after(() => server.stop());

  for (const [name, suite] of Object.entries(suites)) {
    test(name, async () => {
      const { status, stdout, stderr, checks } = await judge(server.url, suite);
      assert.deepEqual(checks.filter(bad).map((check) => [check.scenario, check.id, check.errorMessage]), []);
      assert.equal(status, 0, stdout.slice(-3000) + stderr);
      assert.ok(checks.filter((check) => check.status === 'SUCCESS').length >= 40, `${checks.length} checks`);
    });
  }
});

describe('the product', () => {
  let server;
  before(async () => { server = await serve({ args: ['serve', '--no-auth'] }); });
  after(() => server.stop());

  for (const revision of ['2025-11-25', '2026-07-28']) {
    test(`${revision}: but for what needs the fixture`, async () => {
      const { status, stdout, stderr } = await judge(server.url, ['conformance-0.2.0', '--requirements', revision,
        '--expected-failures', path.join(here, `conformance-product-${revision}.yml`)]);
      assert.equal(status, 0, stdout.slice(-3000) + stderr);
    });
  }
});
