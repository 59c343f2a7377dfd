// What a sandbox reaches, in a network of the test's own: policies, names that lead to private
// addresses, redirects, rebinding. What must not be reached has a server that counts who came.
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { build, sandquay, scratch, until } from './lib/product.mjs';
import { connect } from './lib/wire.mjs';
import { world, worldMissing } from './lib/world.mjs';

const NOT_TO_BE_REACHED = ['10.1.2.3', '169.254.169.254', '168.63.129.16', 'fd00:5::10'];
const get = (url, flags = '') => `curl -sS -m 20 ${flags} '${url}'`;
// A program that knows nothing of proxies.
const bare = (command) => `unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY; ${command}`;
const plainly = (url, flags) => bare(get(url, flags));
const echo = (host, port) => bare(`exec 3<>/dev/tcp/${host}/${port} && echo through >&3 && head -n 1 <&3`);
const UNKNOWN = /Could not resolve host/;
const at = (address) => new RegExp(`at ${address.replaceAll('.', '\\.')} `);
const REFUSED = /sandquay: .*(which must be named|does not allow it|is deny-all|denied network)|response 403/;

// [name, command, what comes out]
const allowAll = [
  ['a public name', get('http://good.example/'), at('203.0.113.10')],
  ['another port', get('http://good.example:8080/x'), /GET \/x at 203.0.113.10 for good.example:8080/],
  ['a public address', get('http://203.0.113.10/'), at('203.0.113.10')],
  ['a name with IPv6 only', get('http://six.example/'), at('2001:db8:5::10')],
  ['an IPv6 address', get('http://[2001:db8:5::10]/', '-g'), at('2001:db8:5::10')],
  ['IPv4 where IPv6 does not answer', get('http://both.example/'), at('203.0.113.10')],
  ['a tunnel', get('http://good.example/', '-p'), at('203.0.113.10')],
  ['SOCKS5 with a name', get('http://good.example/', '--noproxy "" -x socks5h://127.0.0.1:3128'), at('203.0.113.10')],
  ['SOCKS5 with an address', get('http://203.0.113.10/', '-x socks5://127.0.0.1:3128'), at('203.0.113.10')],
  ['a body', `head -c 3000000 /dev/zero | ${get('http://good.example/', '-T -')}`, /PUT \/ at .*, 3000000 bytes/],
  ['a body of known size', `head -c 3000000 /dev/zero > f; ${get('http://good.example/', '-T f')}`, /PUT \/f at .*, 3000000 bytes/],
  ['many bytes', `${get('http://good.example/bytes/20000000')} | wc -c`, /^20000000/],
  ['many at once', `for i in $(seq 50); do ${get('http://good.example/bytes/100000', '-p')} | wc -c & done; wait`, /^(100000\n){50}/],
  ['a name of a private address', get('http://private.example/'), REFUSED],
  ['... in a tunnel', get('http://private.example/', '-p'), REFUSED],
  ['... over SOCKS5', get('http://private.example/', '-x socks5h://127.0.0.1:3128'), /curl: \(97\)/],
  ['of several addresses the public one', get('http://mixed.example/'), at('203.0.113.10')],
  ['a private address', get('http://10.1.2.3/'), REFUSED],
  ['a redirect to a private address', get('http://good.example/redirect', '-L'), REFUSED],
  ['the metadata service', get('http://169.254.169.254/'), REFUSED],
  ['... by a name', get('http://metadata.example/'), REFUSED],
  ['... by a redirect', get('http://good.example/metadata', '-L'), REFUSED],
  ['... of Azure', get('http://168.63.129.16/'), REFUSED],
  ['... IPv4-mapped', get('http://[::ffff:169.254.169.254]/', '-g'), REFUSED],
  ['an IPv4-mapped private address', get('http://mapped.example/'), REFUSED],
  ['a private address behind NAT64', get('http://nat64.example/'), REFUSED],
  ['a unique local address', get('http://[fd00:5::10]/', '-g'), REFUSED],
  ['loopback', get('http://loopback.example/'), REFUSED],
  ['0.0.0.0', get('http://zero.example/'), REFUSED],
  ['the machine itself', get('http://198.51.100.2/'), REFUSED],
  ['... by its name', get('http://host.example/'), REFUSED],
  ['... by IPv6', get('http://[2001:db8:100::2]/', '-g'), REFUSED],
  ['a number in disguise', `curl -sS --proxy-header '' -x http://127.0.0.1:3128 http://0x0a010203/ 2>&1; true`, /not a host|which must be named/],
  ['a name that there is not', get('http://nowhere.example/'), /there is no such host/],
  ['without a proxy', plainly('http://good.example/'), at('203.0.113.10')],
  ['without a proxy, another port', plainly('http://good.example:8080/x'), /GET \/x at 203.0.113.10 for good.example:8080/],
  ['without a proxy, no HTTP', echo('good.example', 7), /^through/],
  ['without a proxy, IPv6 outside', plainly('http://six.example/'), at('2001:db8:5::10')],
  ['without a proxy, many bytes', `${plainly('http://good.example/bytes/20000000')} | wc -c`, /^20000000/],
  ['without a proxy, a private name', plainly('http://private.example/'), UNKNOWN, /^Network access to private.example was refused: 10.1.2.3 is a private/],
  ['without a proxy, the metadata service', plainly('http://metadata.example/'), UNKNOWN, /metadata/],
  ['without a proxy, the machine itself', plainly('http://host.example/'), UNKNOWN, /belongs to the machine/],
  ['without a proxy, a name that there is not', plainly('http://nowhere.example/'), UNKNOWN],
  ['without a proxy, an address', plainly('http://203.0.113.10/'), /Couldn't connect/],
  ['an address that stands for no name', plainly('http://198.19.1.1/'), /curl: \((7|52|56)\)/],
  ['a name of the resolver is no address for the proxy', `${get('http://198.18.0.2/')}`, REFUSED],
  ['datagrams', bare("python3 -c 'import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b\"x\", (\"203.0.113.53\", 53))' 2>&1; true"), /unreachable/],
  ['a port where nobody listens', get('http://good.example:81/'), /Connection refused/],
];

const rows = {
  'allow-all': { flags: [], rows: allowAll },
  'deny-all': { flags: ['--network', 'deny-all'], rows: [
    ['a public name', get('http://good.example/', '-x http://127.0.0.1:3128'), /is deny-all/],
    ['a public address', get('http://203.0.113.10/', '-x http://127.0.0.1:3128'), /is deny-all/],
    ['a name without a proxy', plainly('http://good.example/'), UNKNOWN, /is deny-all/],
    ['no variables lead to the proxy', 'env | grep -ci proxy', /^0/],
  ] },
  'a name and a wildcard': { flags: ['--network', 'other.example,*.good.example'], rows: [
    ['the name', get('http://other.example/'), at('203.0.113.10')],
    ['below the wildcard', get('http://www.good.example/'), at('203.0.113.10')],
    ['deeper', get('http://deep.www.good.example/'), at('203.0.113.10')],
    ['capitals and a final dot', get('http://WWW.good.EXAMPLE./'), at('203.0.113.10')],
    ['without a proxy', plainly('http://www.good.example/'), at('203.0.113.10')],
    ['without a proxy, not the apex', plainly('http://good.example/'), UNKNOWN, /does not allow it/],
    ['not the apex', get('http://good.example/'), REFUSED],
    ['not a name that ends the same', get('http://evilgood.example/'), REFUSED],
    ['not another name', get('http://six.example/'), REFUSED],
    ['not the address', get('http://203.0.113.10/'), REFUSED],
    ['not by a Host header', get('http://six.example/', '-H "Host: other.example"'), REFUSED],
  ], unasked: ['good.example', 'six.example', 'evilgood.example'] },
  'all and a private network': { flags: ['--network', 'allow-all,10.0.0.0/8'], rows: [
    ['public', get('http://good.example/'), at('203.0.113.10')],
    ['private by name', get('http://private.example/'), at('10.1.2.3')],
    ['private by address', get('http://10.1.2.3/'), at('10.1.2.3')],
    ['not the metadata service', get('http://169.254.169.254/'), REFUSED],
  ], reaches: ['10.1.2.3'] },
  'a network alone': { flags: ['--network', '203.0.113.0/24'], rows: [
    ['its address', get('http://203.0.113.10/'), at('203.0.113.10')],
    ['no other address', get('http://[2001:db8:5::10]/', '-g'), REFUSED],
    ['no name, which would be looked up', get('http://good.example/'), REFUSED],
  ], unasked: ['good.example'] },
  'all but a network': { flags: ['--network-deny', '203.0.113.0/24'], rows: [
    ['the rest', get('http://six.example/'), at('2001:db8:5::10')],
    ['not the network', get('http://203.0.113.10/'), REFUSED],
    ['not by name', get('http://good.example/'), REFUSED],
  ] },
};

describe('the network', { skip: worldMissing }, () => {
  let net;
  before(async () => { net = await world(); });
  after(() => net?.close());

  for (const [policy, { flags, rows: cases, unasked = [], reaches = [] }] of Object.entries(rows)) {
    describe(policy, () => {
      let wire;
      let start;
      before(async () => {
        start = await net.seen();
        wire = await connect(net.serve(...flags));
      });
      for (const [name, command, expected, warned] of cases) {
        test(name, async () => {
          const { stdout, stderr, warning } = await wire.run(`{ ${command}; } 2>&1`, { timeoutMs: 30000 });
          assert.match(stdout + stderr, expected);
          if (warned) assert.match(warning, warned);
          if (expected === REFUSED) assert.match(warning, /^Network access to .* was refused: /);
        });
      }
      test('nobody came where nobody may come, and no name was asked for that is not allowed', async () => {
        const { accepted, queries } = await net.seen();
        for (const address of NOT_TO_BE_REACHED) {
          if (!reaches.includes(address)) assert.equal(accepted[address], start.accepted[address], address);
        }
        for (const name of unasked) assert.equal(queries[name], start.queries[name], name);
      });
      after(() => wire?.close());
    });
  }

  test('a name that changes its address between look-up and connection leads nowhere else', async (context) => {
    const wire = await connect(net.serve());
    context.after(() => wire.close());
    const start = await net.seen();
    const { stdout } = await wire.run(`for i in 1 2 3; do ${get('http://rebind.example/')}; done`, { timeoutMs: 30000 });
    const lines = stdout.trim().split('\n');
    assert.match(lines[0], at('203.0.113.10'));
    assert.match(lines[1], REFUSED);
    assert.match(lines[2], REFUSED);
    assert.equal((await net.seen()).accepted['10.1.2.3'], start.accepted['10.1.2.3']);
  });

  test('... also without a proxy', async (context) => {
    const wire = await connect(net.serve());
    context.after(() => wire.close());
    const start = await net.seen();
    const { stdout, warning } = await wire.run(bare(`exec 3<>/dev/tcp/again.example/7; echo x >&3; head -n 1 <&3 || true`));
    assert.equal(stdout, '');
    assert.match(warning, /^Network access to again.example:7 was refused: 10.1.2.3/);
    assert.equal((await net.seen()).accepted['10.1.2.3'], start.accepted['10.1.2.3']);
  });

  describe('on a kernel without nftables', () => {
    let wire;
    before(async () => {
      const [program, args] = net.command(path.join(build, 'tests/hostile_forbid'), ['nft', sandquay, 'serve']);
      wire = await connect({ program, args });
    });
    after(() => wire?.close());
    for (const [name, command, expected] of [
      ['the proxy', get('http://good.example:8080/'), at('203.0.113.10')],
      ['without a proxy, a usual port', plainly('http://good.example/'), at('203.0.113.10')],
      ['without a proxy, another port', plainly('http://good.example:8080/'), /Couldn't connect/],
      ['without a proxy, a private name', plainly('http://private.example/'), UNKNOWN],
    ]) {
      test(name, async () => {
        const { stdout, stderr } = await wire.run(command);
        assert.match(stdout + stderr, expected);
      });
    }
  });

  describe('the tools', () => {
    const tools = async (context, ...flags) => {
      const wire = await connect(net.serve('--toolsets', 'network', ...flags));
      context.after(() => wire.close());
      wire.answer = async (name, args) => {
        const result = await wire.tool(name, args);
        assert.ok(!result.isError, result.content[0].text);
        return result.structuredContent;
      };
      return wire;
    };
    const good = get('http://good.example/', '-w "%{http_code}"');

    test('a policy changes while a connection is open, which is cut', async (context) => {
      const wire = await tools(context);
      assert.deepEqual((await wire.answer('network_policy')).policy, { mode: 'allow-all' });
      const { commandId } = await wire.run('exec 3<>/dev/tcp/good.example/7; echo first >&3; head -n 1 <&3; cat <&3; echo over', { background: true });
      await until(async () => /first/.test((await wire.answer('command_output', { commandId, stdoutOffset: 0 })).stdout), 'the connection is open');
      const { policy } = await wire.answer('network_policy', { allow: ['other.example'] });
      assert.deepEqual(policy, { mode: 'custom', allowedDomains: ['other.example'], allowedCIDRs: [], deniedCIDRs: [] });
      await until(async () => /over/.test((await wire.answer('command_output', { commandId, stdoutOffset: 0, waitMs: 500 })).stdout), 'it is cut', 10000);
      assert.match((await wire.run(good)).stdout, /403$/);
      assert.match((await wire.run(get('http://other.example/'))).stdout, at('203.0.113.10'));
      const { attempts, last } = await wire.answer('network_log');
      assert.deepEqual(attempts.map(({ host, port, verdict, way }) => [host, port, verdict, way]), [
        ['good.example', 7, 'refused', 'transparent'], ['good.example', 80, 'refused', 'http'], ['other.example', 80, 'allowed', 'http']]);
      assert.match(attempts[0].reason, /^cut/);
      assert.equal(attempts[0].receivedBytes, 6);
      assert.equal(attempts[2].address, '203.0.113.10');
      assert.deepEqual((await wire.answer('network_log', { since: last })).attempts, []);
      await wire.answer('network_policy', { mode: 'allow-all' });
      assert.match((await wire.run(good)).stdout, at('203.0.113.10'));
    });

    test('they cannot exceed what the server allows', async (context) => {
      const wire = await tools(context, '--network', 'other.example');
      const { policy, limit } = await wire.answer('network_policy', { mode: 'allow-all', sandbox: 'narrow' });
      assert.deepEqual(policy, { mode: 'allow-all' });
      assert.deepEqual(limit.allowedDomains, ['other.example']);
      assert.match((await wire.run(good, { sandbox: 'narrow' })).stdout, /403$/);
      await wire.answer('network_policy', { allow: ['*'], subnets: { allow: ['10.0.0.0/8'] }, sandbox: 'narrow' });
      assert.match((await wire.run(get('http://10.1.2.3/'), { sandbox: 'narrow' })).stdout, REFUSED);
      await wire.tool('sandbox_stop', { sandbox: 'narrow', delete: true });
    });

    test('a fork has the policy of its source, a stopped one its own', async (context) => {
      const wire = await connect(net.serve('--toolsets', 'all'));
      context.after(() => wire.close());
      const policy = async (sandbox) => (await wire.tool('network_policy', { sandbox })).structuredContent.policy.mode;
      await wire.tool('network_policy', { sandbox: 'source', mode: 'deny-all' });
      await wire.tool('sandbox_fork', { sandbox: 'source', name: 'fork' });
      await wire.tool('sandbox_stop', { sandbox: 'source' });
      for (const sandbox of ['source', 'fork']) {
        assert.equal(await policy(sandbox), 'deny-all');
        const { stdout, stderr } = await wire.run(plainly('http://good.example/'), { sandbox });
        assert.match(stdout + stderr, UNKNOWN);
        await wire.tool('sandbox_stop', { sandbox, delete: true });
      }
    });

    test('a named sandbox keeps its policy', async (context) => {
      const first = await tools(context);
      await first.answer('network_policy', { mode: 'deny-all', sandbox: 'closed' });
      await first.close();
      const second = await tools(context);
      assert.deepEqual((await second.answer('network_policy', { sandbox: 'closed' })).policy, { mode: 'deny-all' });
      const { stdout, stderr } = await second.run(get('http://good.example/', '-x http://127.0.0.1:3128'), { sandbox: 'closed' });
      assert.match(stdout + stderr, /is deny-all/);
      await second.tool('sandbox_stop', { sandbox: 'closed', delete: true });
    });

    test('what is wrong is refused, with the remedy', async (context) => {
      const wire = await tools(context);
      for (const [args, cause, remedy] of [
        [{ allow: ['https://a.com'] }, /not a domain/, /no scheme/],
        [{ allow: ['10.0.0.1'] }, /not a domain/, /subnets.allow/],
        [{ subnets: { allow: ['a.com'] } }, /subnets.allow: "a.com" is not an address/, /./],
        [{ mode: 'deny-all', allow: ['a.com'] }, /take no lists/, /leave/],
      ]) {
        const { isError, content } = await wire.tool('network_policy', args);
        const error = JSON.parse(content[0].text);
        assert.ok(isError);
        assert.match(error.cause, cause);
        assert.match(error.remedy, remedy);
      }
    });
  });

  describe('the host\'s settings', () => {
    const HOST_PROXY = 'http://user:p%40ss@198.51.100.1:3128';
    const AUTHORIZATION = `Basic ${Buffer.from('user:p@ss').toString('base64')}`;
    const serve = async (context, { env = {}, first, flags = [] } = {}) => {
      const [program, args] = net.command(sandquay, ['serve', ...flags], first);
      const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/proxy|npm_config|PIP_|_CA|CERT|NODE_/i.test(name)));
      const wire = await connect({ program, args, env: { ...clean, HOME: scratch('home'), ...env } });
      context.after(() => wire.close());
      return wire;
    };

    test('its proxy is used, and our hop alone may be private', async (context) => {
      const wire = await serve(context, { env: { HTTPS_PROXY: HOST_PROXY, http_proxy: HOST_PROXY, NO_PROXY: 'other.example' } });
      const start = await net.seen();
      const echo = (host) => `exec 3<>/dev/tcp/127.0.0.1/3128; printf 'CONNECT ${host}:7 HTTP/1.1\\r\\n\\r\\n' >&3; read -r line <&3; echo "$line"; read -r line <&3; echo through >&3; head -n 1 <&3`;
      assert.match((await wire.run(echo('only-proxy.example'))).stdout, /200 Connection established[^]*through/);
      assert.match((await wire.run(get('http://good.example/x'))).stdout, /^proxied http:\/\/good.example\/x/);
      assert.match((await wire.run(bare('exec 3<>/dev/tcp/only-proxy.example/7; echo plainly >&3; head -n 1 <&3'))).stdout, /^plainly/);
      assert.match((await wire.run(get('http://other.example/'))).stdout, at('203.0.113.10'));
      const { proxied, accepted } = await net.seen();
      assert.deepEqual(proxied.slice(start.proxied.length), [`CONNECT only-proxy.example:7 ${AUTHORIZATION}`,
        `GET http://good.example/x ${AUTHORIZATION}`, `CONNECT only-proxy.example:7 ${AUTHORIZATION}`]);
      assert.match((await wire.run(echo('forbidden.example'))).warning, /^Connecting to forbidden.example:7 failed: the host's proxy answered "HTTP\/1.1 403 No"/);
      for (const url of ['http://10.1.2.3/', 'http://private.example/', 'http://198.51.100.1:3128/private/', 'http://mixed.example/']) {
        const { stdout, warning } = await wire.run(get(url));
        if (url.includes('198.51.100.1')) continue; // public here, and a proxy that is asked as a server
        assert.match(stdout, REFUSED, url);
        assert.match(warning, /^Network access/);
      }
      assert.equal((await net.seen()).accepted['10.1.2.3'], accepted['10.1.2.3']);
      const { stdout } = await wire.run('env');
      assert.doesNotMatch(stdout, /p@ss|p%40ss|198\.51/);
    });

    test('apt\'s own proxy is for apt alone', async (context) => {
      const conf = path.join(scratch('apt'), 'apt.conf.d');
      mkdirSync(conf);
      writeFileSync(path.join(conf, '01proxy'), `Acquire::http::Proxy "${HOST_PROXY}";\n`);
      const wire = await serve(context, { first: `mount --bind ${conf} /etc/apt/apt.conf.d` });
      assert.match((await wire.run(get('http://good.example/d', '-A "Debian APT-HTTP/1.3 (2.6.1)"'))).stdout, /^proxied http:\/\/good.example\/d/);
      assert.match((await wire.run(get('http://good.example/d'))).stdout, at('203.0.113.10'));
    });

    test('apt\'s sources go in, credentials do not', async (context) => {
      const apt = path.join(scratch('apt'), 'apt');
      for (const name of ['', 'sources.list.d', 'apt.conf.d', 'auth.conf.d']) mkdirSync(path.join(apt, name));
      const put = (name, text) => writeFileSync(path.join(apt, name), text);
      put('sources.list', 'deb http://good.example/debian bookworm main\n');
      put('sources.list.d/a.list', 'deb https://user:secret1@private.example/debian x main\n');
      put('sources.list.d/b.sources', 'Types: deb\nURIs: https://secret2@private.example/\nSuites: x\nComponents: main\n');
      put('apt.conf.d/01', 'Acquire::http::Proxy "http://a:secret3@p/";\n');
      put('auth.conf', 'machine good.example login a password secret4\n');
      put('auth.conf.d/x', 'machine good.example login a password secret5\n');
      const wire = await serve(context, { first: `mount --bind ${apt} /etc/apt` });
      const { stdout } = await wire.run('cat $(find /etc/apt -type f)');
      assert.doesNotMatch(stdout, /secret/);
      assert.match(stdout, /deb http:\/\/good.example\/debian bookworm main/);
    });

    test('registries go in without credentials, certificates where they are seen inside', async (context) => {
      const home = scratch('home');
      writeFileSync(path.join(home, '.npmrc'), '//mirror.example/npm/:_authToken=secret1\nregistry = https://u:secret2@mirror.example/npm/\n');
      mkdirSync(path.join(home, '.config/pip'), { recursive: true });
      writeFileSync(path.join(home, '.config/pip/pip.conf'), '[global]\nindex-url = https://secret3@mirror.example/simple\n');
      const bundle = '/etc/ssl/certs/ca-certificates.crt';
      const wire = await serve(context, { env: { HOME: home, NODE_EXTRA_CA_CERTS: bundle, CURL_CA_BUNDLE: path.join(home, 'mine.pem'), PIP_CERT: bundle } });
      const { stdout } = await wire.run('env');
      assert.doesNotMatch(stdout, /secret|mine\.pem|NODE_EXTRA_CA_CERTS/);
      for (const line of ['npm_config_registry=https://mirror.example/npm/', 'PIP_INDEX_URL=https://mirror.example/simple', `PIP_CERT=${bundle}`, 'NODE_OPTIONS=--use-openssl-ca']) {
        assert.ok(stdout.includes(`${line}\n`), line);
      }
    });
  });
});
