// What the product offers besides tools: sandboxes and their files as resources, a prompt,
// completion of sandbox names; the same in both eras.
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { scratch } from './lib/product.mjs';
import { judge, schemasMissing } from './lib/trace.mjs';
import { Wire } from './lib/wire.mjs';

const META = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} };
const home = scratch('offer');

for (const [era, meta, missing] of [['legacy', undefined, -32002], ['modern', META, -32602]]) {
  describe(`${era} era`, () => {
    const wire = new Wire({ env: { ...process.env, HOME: home, XDG_STATE_HOME: `${home}/state` } });
    const ask = (method, params = {}) => wire.request(method, meta ? { ...params, _meta: meta } : params);
    const read = (uri) => ask('resources/read', { uri });
    const tool = (name, args) => ask('tools/call', { name, arguments: args });
    after(() => wire.close());

    test('nothing is there before the first tool call, and asking makes nothing', async () => {
      assert.deepEqual((await ask('resources/list')).resources, []);
      await assert.rejects(read('sandbox://default/etc/hostname'), { code: missing });
      assert.deepEqual((await ask('resources/list')).resources, []);
    });

    test('a sandbox is a resource', async () => {
      await tool('write_file', { path: 'naïve name.txt', content: 'grün\n' });
      const [entry] = (await ask('resources/list')).resources;
      assert.equal(entry.uri, 'sandbox://default');
      const { contents: [info] } = await read(entry.uri);
      assert.equal(info.mimeType, 'application/json');
      assert.equal(JSON.parse(info.text).status, 'running');
    });

    test('a file is a resource, by its percent-encoded path', async () => {
      const uri = `sandbox://default/workspace/${encodeURIComponent('naïve name.txt')}`;
      const { contents: [file] } = await read(uri);
      assert.deepEqual(file, { uri, mimeType: 'text/plain', text: 'grün\n' });
      await tool('execute_command', { command: "printf '\\211PNG\\r\\n\\032\\n\\0' > image.png; head -c 5000000 /dev/zero > large; mkdir -p d" });
      const { contents: [image] } = await read('sandbox://default/workspace/image.png');
      assert.equal(image.mimeType, 'image/png');
      assert.equal(Buffer.from(image.blob, 'base64').length, 9);
      const { contents: [kernel] } = await read('sandbox://default/proc/sys/kernel/ostype');
      assert.equal(kernel.text, 'Linux\n');
    });

    test('what cannot be read says why', async () => {
      await assert.rejects(read('sandbox://default/workspace/none'), ({ code, data }) => code === missing && data.uri.endsWith('/none'));
      await assert.rejects(read('sandbox://none/x'), { code: missing });
      await assert.rejects(read('sandbox://default/workspace/d'), ({ data }) => data.code === 'INVALID' && data.remedy.length > 0);
      await assert.rejects(read('sandbox://default/workspace/large'), ({ data }) => data.code === 'LIMIT' && /read_file/.test(data.remedy));
      await assert.rejects(read('sandbox://default/%00'), ({ data }) => data.code === 'INVALID');
      await assert.rejects(read('file:///etc/passwd'), { code: missing });
    });

    test('links and dots stay in the sandbox', async () => {
      const { structuredContent } = await tool('execute_command', { command: 'ln -s /etc/passwd link; cat /etc/passwd' });
      for (const path of ['workspace/link', '../etc/passwd', 'workspace/../../../etc/passwd']) {
        assert.equal((await read(`sandbox://default/${path}`)).contents[0].text, structuredContent.stdout);
      }
    });

    test('templates, completion, the prompt', async () => {
      const { resourceTemplates } = await ask('resources/templates/list');
      assert.deepEqual(resourceTemplates.map(({ uriTemplate }) => uriTemplate), ['sandbox://{sandbox}', 'sandbox://{sandbox}/{+path}']);
      const complete = async (value, name = 'sandbox') => (await ask('completion/complete', {
        ref: { type: 'ref/resource', uri: 'sandbox://{sandbox}/{+path}' }, argument: { name, value } })).completion.values;
      assert.deepEqual(await complete('de'), ['default']);
      assert.deepEqual(await complete('x'), []);
      assert.deepEqual(await complete('', 'path'), []);
      const { messages } = await ask('prompts/get', { name: 'solve_in_sandbox', arguments: { task: 'count "the" words' } });
      assert.match(messages[0].content.text, /Task: count "the" words$/);
      await assert.rejects(ask('prompts/get', { name: 'solve_in_sandbox' }), /task/);
    });

    test('every message was judged', { skip: schemasMissing() }, async () => {
      await wire.close();
      assert.deepEqual(judge(wire.records).problems, []);
    });
  });
}
