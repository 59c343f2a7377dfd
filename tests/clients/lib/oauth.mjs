// An OAuth 2.1 authorization server, as small as one can be that real clients accept: metadata
// (RFC 8414), keys, dynamic registration, an authorization endpoint where everybody agrees, a token
// endpoint with PKCE. Its tokens are signed with node:crypto, wrongly where a test wants that.
import crypto from 'node:crypto';
import http from 'node:http';
import https from 'node:https';

const KINDS = {
  RS256: ['rsa', { modulusLength: 2048 }, (key, data) => crypto.sign('sha256', data, key)],
  PS256: ['rsa', { modulusLength: 2048 }, (key, data) => crypto.sign('sha256', data,
    { key, padding: crypto.constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 })],
  ES256: ['ec', { namedCurve: 'P-256' }, (key, data) => crypto.sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' })],
  ES384: ['ec', { namedCurve: 'P-384' }, (key, data) => crypto.sign('sha384', data, { key, dsaEncoding: 'ieee-p1363' })],
  ES512: ['ec', { namedCurve: 'P-521' }, (key, data) => crypto.sign('sha512', data, { key, dsaEncoding: 'ieee-p1363' })],
  EdDSA: ['ed25519', {}, (key, data) => crypto.sign(null, data, key)],
};
const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

export class Key {
  constructor(alg, kid, options = {}) {
    const [type, parameters] = KINDS[alg];
    Object.assign(this, { alg, kid, ...crypto.generateKeyPairSync(type, { ...parameters, ...options }) });
  }

  get jwk() {
    return { ...this.publicKey.export({ format: 'jwk' }), kid: this.kid, alg: this.alg, use: 'sig' };
  }

  sign(claims, header = {}) {
    const input = `${encode({ alg: this.alg, typ: 'at+jwt', kid: this.kid, ...header })}.${encode(claims)}`;
    return `${input}.${KINDS[this.alg][2](this.privateKey, Buffer.from(input)).toString('base64url')}`;
  }
}

/** A token by hand: any header, any signature. */
export const forge = (header, claims, signature = () => '') => {
  const input = `${encode(header)}.${encode(claims)}`;
  return `${input}.${signature(input)}`;
};

export class AuthorizationServer {
  keys = [];
  asked = []; // paths
  codes = new Map();
  places = ['/.well-known/oauth-authorization-server'];
  said = {}; // instead of what is true: path -> [status, body]

  /** tls: {cert, key} */
  constructor({ path = '', keys = [new Key('RS256', 'first')], tls } = {}) {
    this.path = path;
    this.keys = keys;
    this.scheme = tls ? 'https' : 'http';
    this.server = (tls ? https : http).createServer(tls ?? {}, (request, response) => {
      this.answer(request, response).catch((error) => response.writeHead(500).end(String(error)));
    });
  }

  async start(port = 0) {
    await new Promise((resolve) => this.server.listen(port, '127.0.0.1', resolve));
    this.origin = `${this.scheme}://127.0.0.1:${this.server.address().port}`;
    this.issuer = this.origin + this.path;
    return this;
  }

  async stop() {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  claims(more = {}) {
    const now = Math.floor(Date.now() / 1000);
    return { iss: this.issuer, sub: 'alice', aud: 'unset', exp: now + 600, iat: now, ...more };
  }

  get metadata() {
    return {
      issuer: this.issuer,
      authorization_endpoint: `${this.origin}/authorize`,
      token_endpoint: `${this.origin}/token`,
      registration_endpoint: `${this.origin}/register`,
      jwks_uri: `${this.origin}/jwks`,
      response_types_supported: ['code'],
      grant_types_supported: ['authorization_code'],
      code_challenge_methods_supported: ['S256'],
      token_endpoint_auth_methods_supported: ['none'],
    };
  }

  async answer(request, response) {
    const url = new URL(request.url, this.origin);
    const json = (status, body) => response.writeHead(status, { 'Content-Type': 'application/json' })
      .end(typeof body === 'string' ? body : JSON.stringify(body));
    this.asked.push(url.pathname);
    if (this.hold) await this.hold;
    if (this.said[url.pathname]) return json(...this.said[url.pathname]);
    if (this.places.includes(url.pathname)) return json(200, this.metadata);
    if (url.pathname === '/jwks') return json(200, { keys: this.keys.map((key) => key.jwk ?? key) });
    let body = '';
    for await (const chunk of request) body += chunk;
    if (url.pathname === '/register') return json(201, { ...JSON.parse(body), client_id: 'client-1' });
    if (url.pathname === '/authorize') {
      const code = crypto.randomUUID();
      this.codes.set(code, url.searchParams);
      const to = new URL(url.searchParams.get('redirect_uri'));
      to.searchParams.set('code', code);
      if (url.searchParams.has('state')) to.searchParams.set('state', url.searchParams.get('state'));
      return response.writeHead(302, { Location: to.href }).end();
    }
    if (url.pathname === '/token') return json(...this.token(new URLSearchParams(body)));
    return json(404, { error: 'not_found' });
  }

  token(form) {
    const asked = this.codes.get(form.get('code'));
    const verifier = crypto.createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url');
    this.codes.delete(form.get('code'));
    if (!asked || verifier !== asked.get('code_challenge')) return [400, { error: 'invalid_grant' }];
    const access_token = this.keys[0].sign(this.claims({ aud: form.get('resource'), scope: asked.get('scope') ?? undefined }));
    return [200, { access_token, token_type: 'Bearer', expires_in: 600, scope: asked.get('scope') ?? undefined }];
  }
}
