// The agent: a scripted model, the real server, the real sandbox.
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';
import { agent, lines, place, start } from './lib/agent.mjs';
import { call, callRaw, hang, modelServer, results, say, stream, think, turn } from './lib/model.mjs';
import { repository, sandquay, until } from './lib/product.mjs';

const where = place('agent');
const work = () => [
  turn([say('I write it first.\n'), call('write_file', { path: 'ratio.py', content: 'print(10 / 0)\n' })]),
  turn(call('execute_command', { command: 'python3 ratio.py' })),
  (body) => {
    const [{ error, text }] = results(body);
    assert.equal(error, false, 'a command that fails is a result');
    assert.match(text, /ZeroDivisionError/);
    assert.match(text, /"exitCode":1/);
    return turn([say('It divides by zero.'), call('write_file', { path: 'ratio.py', content: 'print(10 / 4)\n' })]);
  },
  turn(call('execute_command', { command: 'python3 ratio.py' })),
  (body) => turn(say(`The ratio is ${JSON.parse(results(body)[0].text).stdout.trim()}.`)),
];

describe('a whole run: write, run, fail, fix, run again, answer', () => {
  test('as text: the answer on stdout, the way there on stderr', async () => {
    const run = await agent(where, work(), ['compute', 'the ratio']);
    assert.deepEqual([run.code, run.stdout], [0, 'The ratio is 2.5.\n'], run.stderr);
    const shown = run.stderr.split('\n').filter(Boolean);
    assert.equal(shown.length, 6, run.stderr);
    assert.equal(shown[0], 'I write it first.');
    assert.match(shown[1], /^✓ write_file ratio\.py · [\d.]+ s · \d+ B$/);
    assert.match(shown[2], /^✗ execute_command python3 ratio\.py · [\d.]+ s · exit 1 · \d+ B$/);
    assert.match(shown[5], /^✓ execute_command python3 ratio\.py · [\d.]+ s · exit 0 · \d+ B$/);
  });

  test('what the model is asked', async () => {
    const { requests } = await agent(where, work(), ['compute the ratio']);
    assert.equal(requests.length, 5);
    for (const { headers, path } of requests) {
      assert.equal(path, '/v1/messages');
      assert.equal(headers.authorization, 'Bearer sk-ant-test');
      assert.equal(headers['anthropic-version'], '2026-10-21');
    }
    const [first, ...rest] = requests.map((request) => request.body);
    assert.equal(first.model, 'claude-opus-5-5');
    assert.equal(first.max_tokens, 16000);
    assert.deepEqual(first.messages, [{ role: 'user', content: [{ type: 'text', text: 'compute the ratio' }] }]);
    assert.ok(first.tools.some(({ name }) => name === 'execute_command'));
    for (const tool of first.tools) {
      assert.match(tool.name, /^[a-zA-Z0-9_-]{1,64}$/);
      assert.equal(tool.input_schema.type, 'object');
    }
    for (const [i, body] of rest.entries()) {
      const before = requests[i].text;
      const own = requests[i + 1].text;
      // Everything up to the end of the messages of the request before is the same bytes.
      const shared = before.slice(0, before.lastIndexOf(']}]') + 2);
      assert.ok(own.startsWith(shared), `request ${i + 2} goes on where the one before ended`);
      assert.equal(body.messages.length, 2 * (i + 1) + 1);
    }
  });

  test('as json: one object', async () => {
    const run = await agent(where, work(), ['--output', 'json', 'compute the ratio']);
    assert.equal(run.code, 0, run.stderr);
    assert.equal(run.stderr, '');
    const [result, ...more] = lines(run.stdout);
    assert.deepEqual(more, []);
    assert.equal(result.type, 'result');
    assert.equal(result.subtype, 'done');
    assert.equal(result.is_error, false);
    assert.equal(result.result, 'The ratio is 2.5.');
    assert.equal(result.num_turns, 5);
    assert.equal(result.usage.input_tokens, 500);
    assert.equal(result.usage.output_tokens, 100);
    assert.equal(result.total_cost_usd, (500 * 4 + 100 * 20) / 1e6);
    assert.match(result.session_id, /^\d{8}-\d{6}-[0-9a-f]{6}$/);
  });

  test('as stream-json: a line for everything', async () => {
    const run = await agent(where, work(), ['--output', 'stream-json', 'compute the ratio']);
    assert.equal(run.code, 0, run.stderr);
    const all = lines(run.stdout);
    assert.equal(all[0].type, 'system');
    assert.ok(all[0].tools.includes('write_file'));
    assert.equal(all.at(-1).type, 'result');
    assert.equal(all.filter(({ type }) => type === 'assistant').length, 5);
    const given = all.filter(({ type }) => type === 'user');
    assert.equal(given.length, 4);
    assert.equal(given[1].exit_code, 1);
    assert.equal(given[1].message.content[0].type, 'tool_result');
    assert.equal(all.filter(({ type }) => type === 'text_delta').map(({ text }) => text).join('').slice(-17), 'The ratio is 2.5.');
  });
});

describe('what a turn may be', () => {
  test('calls of one turn run at the same time, their results keep the order', async () => {
    const run = await agent(where, [
      turn([
        call('execute_command', { command: 'for i in $(seq 100); do [ -e /tmp/go ] && break; sleep 0.1; done; ls /tmp/go; echo first' }, 'toolu_first'),
        call('execute_command', { command: 'touch /tmp/go; echo second' }, 'toolu_second'),
      ]),
      (body) => {
        const [first, second] = results(body);
        assert.deepEqual([first.id, second.id], ['toolu_first', 'toolu_second']);
        assert.match(first.text, /\/tmp\/go\\nfirst/);
        assert.match(second.text, /second/);
        return turn(say('both'));
      },
    ], ['x']);
    assert.deepEqual([run.code, run.stdout], [0, 'both\n'], run.stderr);
  });

  test('more calls than a server takes at once: all of them run, in the end', async () => {
    const many = Array.from({ length: 150 }, (_, i) => call('execute_command', { command: `echo ${i}` }));
    const run = await agent(where, [turn(many), (body) => {
      const answers = results(body);
      assert.deepEqual(answers.map(({ text }) => JSON.parse(text).stdout), many.map((_, i) => `${i}\n`));
      return turn(say('ok'));
    }], ['x']);
    assert.equal(run.code, 0, run.stderr);
  });

  test('thinking goes back as it came', async () => {
    const run = await agent(where, [
      turn([think('Let me see.', 'U0lH'), { type: 'redacted_thinking', data: 'AAAA' }, call('execute_command', { command: 'true' })]),
      (body) => {
        const { content } = body.messages[1];
        assert.deepEqual(content[0], { type: 'thinking', thinking: 'Let me see.', signature: 'U0lH' });
        assert.deepEqual(content[1], { type: 'redacted_thinking', data: 'AAAA' });
        return turn(say('ok'));
      },
    ], ['x']);
    assert.equal(run.code, 0, run.stderr);
  });

  test('an unknown tool, and JSON that is none, are errors that the model sees', async () => {
    const run = await agent(where, [
      turn([call('no_such_tool', {}), callRaw('execute_command', '{"command": "tru')]),
      (body) => {
        const [unknown, invalid] = results(body);
        assert.deepEqual([unknown.error, unknown.text], [true, "Error: Tool 'no_such_tool' not found"]);
        assert.equal(invalid.error, true);
        assert.deepEqual(JSON.parse(invalid.text.replace('Error: ', '')), { INVALID_JSON: '{"command": "tru' });
        assert.equal(typeof body.messages[1].content[1].input, 'object', 'what is sent back is an object');
        return turn(say('sorry'));
      },
    ], ['x']);
    assert.deepEqual([run.code, run.stdout], [0, 'sorry\n'], run.stderr);
  });

  test('an answer without a word is asked for once more', async () => {
    const run = await agent(where, [
      turn(call('execute_command', { command: 'true' })),
      turn([]),
      (body) => {
        assert.deepEqual(body.messages.at(-1).content.at(-1), { type: 'text', text: 'Please continue' });
        return turn(say('done'));
      },
    ], ['x']);
    assert.deepEqual([run.code, run.stdout, run.requests.length], [0, 'done\n', 3], run.stderr);
    const silent = await agent(where, [turn(call('execute_command', { command: 'true' })), turn([])], ['x']);
    assert.deepEqual([silent.code, silent.stdout, silent.requests.length], [0, '', 3], 'but only once');
  });

  test('no answer at all is told', async () => {
    for (const nothing of [[], think('Hm.'), say('')]) {
      const run = await agent(where, [turn(nothing)], ['x']);
      assert.deepEqual([run.code, run.stdout], [0, ''], run.stderr);
      assert.match(run.stderr, /ended without a word/);
    }
  });

  test('a loop ends at --max-turns', async () => {
    const run = await agent(where, [() => turn(call('execute_command', { command: 'true' }))], ['--max-turns', '3', 'x']);
    assert.deepEqual([run.code, run.requests.length], [6, 3], run.stderr);
    assert.match(run.stderr, /stopped at --max-turns/);
  });

  test('10 turns where nothing is said', async () => {
    const run = await agent(where, [() => turn(call('read_file', { path: '/etc/os-release' }))], ['x', '--output', 'json']);
    assert.deepEqual([run.code, run.requests.length, lines(run.stdout)[0].subtype], [6, 10, 'max_turns']);
  });

  test('--max-budget-usd: 7; the calls that were not made are answered, so that it can go on', async () => {
    const dear = () => turn(call('execute_command', { command: 'touch ran' }), { usage: { input_tokens: 100000, output_tokens: 10000 } });
    const run = await agent(where, [dear], ['--max-budget-usd', '1', '--output', 'json', 'x']); // $0.60 a turn
    const [result] = lines(run.stdout);
    assert.deepEqual([run.code, result.subtype, result.num_turns], [7, 'max_budget', 2]);
    assert.ok(Math.abs(result.total_cost_usd - 1.2) < 1e-9, result.total_cost_usd);
    const next = await agent(where, [(body) => {
      assert.match(results(body)[0].text, /not run: the budget is used up/);
      return turn(say('ok'));
    }], ['--continue', 'x']);
    assert.equal(next.code, 0, next.stderr);
    const unknown = await agent(where, [dear], ['--max-budget-usd', '1', '--model', 'llama-4', 'x']);
    assert.deepEqual([unknown.code, unknown.requests.length], [2, 0]);
    assert.match(unknown.stderr, /price of llama-4 is not known/);
  });

  test('a refusal: 4, with what the API says about it', async () => {
    const run = await agent(where, [
      turn(say('I can'), { stop: 'refusal', details: { type: 'refusal', category: 'cyber', explanation: 'That would do harm.' } }),
    ], ['x', '--output', 'json']);
    const [result] = lines(run.stdout);
    assert.deepEqual([run.code, result.subtype, result.stop_details.category], [4, 'refusal', 'cyber']);
    const text = await agent(where, [turn([], { stop: 'refusal', details: { type: 'refusal', category: 'cyber', explanation: 'That would do harm.' } })], ['x']);
    assert.match(text.stderr, /the model declined \(cyber\): That would do harm\./);
  });

  test('cut off: 3, and the call that was cut off does not run', async () => {
    const run = await agent(where, [
      turn([say('now'), callRaw('execute_command', '{"command": "echo never')], { stop: 'max_tokens' }),
    ], ['--max-tokens', '50', 'x']);
    assert.deepEqual([run.code, run.requests.length, run.requests[0].body.max_tokens], [3, 1, 50], run.stderr);
    assert.doesNotMatch(run.stderr, /execute_command echo/);
    assert.equal((await agent(where, [turn(say('a'), { stop: 'model_context_window_exceeded' })], ['x'])).code, 9);
  });

  test('pause_turn is gone on with, a stop sequence is an end, anything else is told', async () => {
    const paused = await agent(where, [
      turn(say('wait '), { stop: 'pause_turn' }),
      (body) => { assert.equal(body.messages.at(-1).role, 'assistant'); return turn(say('done')); },
    ], ['x']);
    assert.deepEqual([paused.code, paused.stdout], [0, 'done\n']);
    assert.equal((await agent(where, [turn(say('a'), { stop: 'stop_sequence' })], ['x'])).code, 0);
    const strange = await agent(where, [turn(say('a'), { stop: 'on_a_whim' })], ['x']);
    assert.equal(strange.code, 5);
    assert.match(strange.stderr, /on_a_whim/);
  });

  test('300 KB of output: the model gets a part that says what is missing', async () => {
    const run = await agent(where, [
      turn(call('execute_command', { command: 'head -c 300000 /dev/zero | tr "\\0" x; echo end', maxOutputBytes: 262144 })),
      (body) => {
        const [{ text }] = results(body);
        assert.ok(text.length < 110 * 1024 && text.length > 90 * 1024, `${text.length}`);
        assert.match(text, /\[\.\.\. \d+ bytes left out \.\.\.\]/);
        return turn(say('long'));
      },
    ], ['x']);
    assert.deepEqual([run.code, run.stdout], [0, 'long\n'], run.stderr);
  });

  test('an error of the API: 5, with its request id', async () => {
    const run = await agent(where, [(body, response) => {
      response.writeHead(400, { 'content-type': 'application/json', 'request-id': 'req_bad' });
      response.end(JSON.stringify({ type: 'error', error: { type: 'invalid_request_error', message: 'max_tokens: too many' } }));
    }], ['x']);
    assert.equal(run.code, 5);
    assert.match(run.stderr, /max_tokens: too many/);
    assert.match(run.stderr, /req_bad/);
    assert.equal(run.stderr.trim().split('\n').length, 1, 'one line says it all');
  });

  test('a stream that breaks: what came of it is void, its call does not run, the turn comes again', async () => {
    const broken = (body, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write(stream(turn([say('This is half'), call('execute_command', { command: 'touch ran' })])).split('event: message_delta')[0], () => response.destroy());
    };
    const run = await agent(where, [broken, turn(call('execute_command', { command: 'ls' })), (body) => turn(say(`<${JSON.parse(results(body)[0].text).stdout}>`))], ['x']);
    assert.deepEqual([run.code, run.stdout], [0, '<>\n'], run.stderr);
    assert.match(run.stderr, /connection broke.*repeated/);
    assert.equal(run.requests[0].text, run.requests[1].text);
    const always = await agent(where, [broken], ['x']);
    assert.deepEqual([always.code, always.stdout, always.requests.length], [5, '', 3], always.stderr);
  });
});

describe('what goes in', () => {
  test('stdin is added to the task, or is the task', async () => {
    const both = await agent(where, [turn(say('ok'))], ['sum this up'], { input: 'a,b\n1,2\n' });
    assert.equal(both.requests[0].body.messages[0].content[0].text, 'sum this up\n\n<stdin>\na,b\n1,2\n\n</stdin>');
    const alone = await agent(where, [turn(say('ok'))], [], { input: 'just say hello' });
    assert.equal(alone.requests[0].body.messages[0].content[0].text, 'just say hello');
  });

  test('neither a task nor stdin is wrong use; so are flags that make no sense', async () => {
    for (const args of [[], ['--max-turns', '0', 'x'], ['--output', 'xml', 'x'], ['--fork', 'x'], ['--effort', 'much', 'x'],
      ['--max-budget-usd', 'a', 'x'], ['--no-such-flag', 'x'], ['--json-schema', '{"a":', 'x'], ['--mcp-config', '/no/such/file', 'x']]) {
      const run = await agent(where, [turn(say('ok'))], args);
      assert.ok([2, 125].includes(run.code), `${args}: ${run.code}`);
      assert.notEqual(run.stderr, '', `${args}`);
      assert.equal(run.requests.length, 0);
    }
  });

  test('no key: it says what to do, and starts nothing', async () => {
    const run = await agent(where, [turn(say('ok'))], ['x'], { extra: { ANTHROPIC_API_KEY: '', ANTHROPIC_BASE_URL: '' } });
    assert.equal(run.code, 125);
    assert.match(run.stderr, /ANTHROPIC_API_KEY/);
    assert.match(run.stderr, /localhost:11434/);
    assert.doesNotMatch(run.stderr, /without a word/);
    const retired = await agent(where, [turn(say('ok'))], ['x', '--model', 'claude-3-5-sonnet-20241022'], { extra: { ANTHROPIC_BASE_URL: '' } });
    assert.match(retired.stderr, /retired/);
  });

  test('--system and --model; the flags may stand behind the task', async () => {
    const run = await agent(where, [turn(say('ok'))], ['x', '--system', 'You are terse.', '--model', 'claude-haiku-5-5', '--effort', 'low']);
    const { body } = run.requests[0];
    const system = typeof body.system === 'string' ? body.system : body.system.map(({ text }) => text).join('');
    assert.ok(system.startsWith('You are terse.'), system);
    assert.equal(body.model, 'claude-haiku-5-5');
    assert.equal(body.output_config.effort, 'low');
  });

  test('docs/agent.md and --help know the same flags', () => {
    const help = execFileSync(sandquay, ['agent', '--help']).toString();
    const page = readFileSync(path.join(repository, 'docs/agent.md'), 'utf8');
    const [own] = help.split('The sandbox:');
    const flags = own.match(/^  --[a-z-]+/gm).map((flag) => flag.trim());
    assert.ok(flags.length > 20);
    for (const flag of flags) assert.ok(page.includes(`\`${flag}`), `${flag} is in docs/agent.md`);
  });

  test('--json-schema: the answer as JSON, or 8', async () => {
    const schema = JSON.stringify({ type: 'object', properties: { n: { type: 'integer' } }, required: ['n'], additionalProperties: false });
    const good = await agent(where, [turn(say('{"n": 5}'))], ['x', '--json-schema', schema, '--output', 'json']);
    assert.equal(good.code, 0, good.stdout);
    assert.deepEqual(lines(good.stdout)[0].structured_output, { n: 5 });
    assert.deepEqual(good.requests[0].body.output_config.format, { type: 'json_schema', schema: JSON.parse(schema) });
    assert.equal((await agent(where, [turn(say('five'))], ['x', '--json-schema', schema])).code, 8);
  });
});

describe('what is seen', () => {
  test('--verbose: all that goes in and comes out, tokens and request ids', async () => {
    const run = await agent(where, [turn(call('execute_command', { command: 'echo one; echo two; echo bad >&2' })), turn(say('ok'))], ['--verbose', 'x']);
    assert.equal(run.stdout, 'ok\n');
    assert.match(run.stderr, /session \d+-\d+-[0-9a-f]+, model claude-opus-5-5/);
    assert.match(run.stderr, /^  command: echo one; echo two; echo bad >&2$/m);
    assert.match(run.stderr, /^  stdout:\n    one\n    two\n/m);
    assert.match(run.stderr, /claude-opus-5-5: 100 tokens in, 20 out, req_1/);
    assert.match(run.stderr, /2 turns · 200 tokens in, 40 out · \$0\.0016 · /);
  });

  test('--thinking show', async () => {
    const script = () => [turn([think('Two and two, hm.'), say('four')])];
    const shown = await agent(where, script(), ['--thinking', 'show', 'x']);
    assert.deepEqual([shown.stdout, shown.stderr.trim()], ['four\n', 'Two and two, hm.']);
    assert.equal(shown.requests[0].body.thinking.display, 'summarized');
    const hidden = await agent(where, script(), ['x']);
    assert.deepEqual([hidden.stdout, hidden.stderr, hidden.requests[0].body.thinking], ['four\n', '', undefined]);
  });

  test('a turn whose stream breaks is asked for again; what it said is void', async () => {
    const run = await agent(where, [
      (body, response) => { hang(response, [say('half an ans')]); response.end(); },
      turn(say('a whole answer')),
    ], ['x']);
    assert.deepEqual([run.code, run.stdout, run.requests.length], [0, 'a whole answer\n', 2], run.stderr);
    assert.match(run.stderr, /the turn is repeated in/);
    assert.doesNotMatch(run.stderr, /half/);
  });

  test('a state directory that cannot be written costs the session only', async () => {
    const run = await agent(where, [turn(say('ok'))], ['x'], { extra: { XDG_STATE_HOME: '/proc/self/no' } });
    assert.deepEqual([run.code, run.stdout], [0, 'ok\n'], run.stderr);
    assert.match(run.stderr, /the session is not written down/);
  });

  for (const scheme of ['http', 'ws']) {
    test(`--connect over ${scheme}: another server's tools, which are asked about`, async () => {
      const server = spawn(sandquay, ['serve', '--listen', '127.0.0.1:0', '--token-env', 'T'], { env: { ...process.env, T: 'a-token-of-16-chars' }, cwd: where.directory, stdio: ['ignore', 'ignore', 'pipe'] });
      let said = '';
      server.stderr.on('data', (chunk) => { said += chunk; });
      const [, address] = await until(() => said.match(/(127\.0\.0\.1:\d+)/), 'it listens', 5000);
      const script = () => [turn(call('execute_command', { command: 'echo there' })), (body) => turn(say(results(body)[0].error ? 'refused' : 'done'))];
      const args = ['--connect', `${scheme}://${address}/mcp`, 'x'];
      const extra = { SANDQUAY_TOKEN: 'a-token-of-16-chars' };
      assert.equal((await agent(where, script(), args, { extra })).stdout, 'refused\n');
      const allowed = await agent(where, script(), ['--allowed-tools', 'execute_command', ...args], { extra });
      assert.deepEqual([allowed.code, allowed.stdout], [0, 'done\n'], allowed.stderr);
      server.kill();
      await new Promise((resolve) => server.on('exit', resolve));
    });
  }
});

describe('sessions', () => {
  const sessions = () => readdirSync(where.sessions);
  const file = (id) => path.join(where.sessions, `${id}.jsonl`);
  const asJson = async (script, args) => {
    const run = await agent(where, script, [...args, '--output', 'json']);
    return { ...run, result: lines(run.stdout)[0] };
  };

  test('a file for its user alone, JSON lines, all that was said', async () => {
    const { result } = await asJson([turn(call('execute_command', { command: 'echo out' })), turn(say('ok'))], ['remember me']);
    assert.equal(statSync(file(result.session_id)).mode & 0o777, 0o600);
    assert.equal(statSync(where.sessions).mode & 0o777, 0o700);
    const [head, ...rest] = lines(readFileSync(file(result.session_id), 'utf8'));
    assert.deepEqual([head.type, head.id, head.directory, head.model], ['session', result.session_id, where.directory, 'claude-opus-5-5']);
    assert.deepEqual(rest.filter(({ type }) => type === 'message').map(({ message }) => message.role), ['user', 'assistant', 'user', 'assistant']);
    assert.deepEqual(rest.at(-1).outcome, 'done');
  });

  test('--continue: the same beginning, byte by byte; the model learns that its files are gone', async () => {
    const first = await asJson([turn([think('hm', 'c2ln'), call('execute_command', { command: 'echo out' })]), turn(say('ok'))], ['begin']);
    const second = await asJson([turn(say('again'))], ['--continue', 'and now?']);
    assert.equal(second.result.session_id, first.result.session_id);
    const { text, body } = second.requests[0];
    const before = first.requests.at(-1).text;
    const shared = before.slice(0, before.lastIndexOf(']}]') + 2);
    assert.ok(text.startsWith(shared), 'system, tools and messages are the same bytes');
    assert.equal(body.messages.at(-1).content.at(-1).text, 'and now?');
    assert.match(body.messages.at(-1).content[0].text, /is gone/);
  });

  test('--fork goes on in a copy', async () => {
    const first = await asJson([turn(say('one'))], ['begin']);
    const size = statSync(file(first.result.session_id)).size;
    const copy = await asJson([turn(say('two'))], ['--resume', first.result.session_id, '--fork', 'go on']);
    assert.notEqual(copy.result.session_id, first.result.session_id);
    assert.equal(copy.requests[0].body.messages.length, 3);
    assert.equal(statSync(file(first.result.session_id)).size, size, 'the first is as it was');
    const third = await asJson([turn(say('three'))], ['--resume', copy.result.session_id, 'more']);
    assert.equal(third.requests[0].body.messages.length, 5);
  });

  test('--keep: the sandbox is there again', async () => {
    const first = await asJson([turn(call('write_file', { path: 'kept.txt', content: 'still here' })), turn(say('ok'))], ['--keep', 'write']);
    const second = await asJson([
      (body) => {
        assert.doesNotMatch(JSON.stringify(body.messages), /is gone/);
        return turn(call('execute_command', { command: 'cat kept.txt' }));
      },
      (body) => turn(say(JSON.parse(results(body)[0].text).stdout)),
    ], ['--continue', 'read']);
    assert.equal(second.result.result, 'still here', second.stderr);
    assert.equal(first.result.kept, `agent-${first.result.session_id}`);
    const { kept } = lines(readFileSync(file(first.result.session_id), 'utf8'))[0];
    assert.equal(kept, `agent-${first.result.session_id}`);
    execFileSync(sandquay, ['rm', kept], { env: { ...process.env, XDG_STATE_HOME: where.state } });
  });

  test('a torn last line costs that line; calls without results get one', async () => {
    const { result } = await asJson([turn(call('execute_command', { command: 'echo out' }, 'toolu_torn')), turn(say('ok'))], ['begin']);
    const whole = readFileSync(file(result.session_id), 'utf8').split('\n');
    const upToCall = whole.findIndex((line) => line.includes('"assistant"')) + 1;
    writeFileSync(file(result.session_id), `${whole.slice(0, upToCall).join('\n')}\n{"type":"message","mess`);
    const next = await asJson([(body) => {
      const [answer] = results(body);
      assert.deepEqual([answer.id, answer.error], ['toolu_torn', true]);
      return turn(say('on we go'));
    }], ['--resume', result.session_id, 'go on']);
    assert.equal(next.code, 0, next.stdout);
    lines(readFileSync(file(result.session_id), 'utf8')); // every line is whole again
  });

  test('a refused request is not a part of what follows', async () => {
    const first = await asJson([turn(say('one'))], ['begin']);
    const refused = await asJson([turn([], { stop: 'refusal' })], ['--continue', 'something bad']);
    assert.equal(refused.code, 4);
    const next = await asJson([turn(say('two'))], ['--resume', first.result.session_id, 'something good']);
    assert.doesNotMatch(JSON.stringify(next.requests[0].body.messages), /something bad/);
    assert.match(JSON.stringify(next.requests[0].body.messages), /something good/);
  });

  test('which session: there is none, it is no id, it is in use', async () => {
    const none = await agent(where, [turn(say('x'))], ['--resume', '20200101-000000-000000', 'x']);
    assert.match(none.stderr, /there is no session/);
    assert.notEqual((await agent(where, [turn(say('x'))], ['--resume', '../../etc/passwd', 'x'])).code, 0);
    const empty = place('agent-empty');
    assert.match((await agent(empty, [turn(say('x'))], ['--continue', 'x'])).stderr, /no session began in this directory/);
    const { result } = await asJson([turn(say('one'))], ['begin']);
    const model = await modelServer([(body, response) => { hang(response); }]);
    const holder = start(where, model, ['--resume', result.session_id, 'x']);
    await model.seen(1);
    assert.match((await agent(where, [turn(say('x'))], ['--resume', result.session_id, 'x'])).stderr, /in use/);
    holder.kill('SIGTERM');
    assert.equal((await holder.done).code, 143);
    await model.close();
    assert.ok(sessions().length > 5);
  });
});
