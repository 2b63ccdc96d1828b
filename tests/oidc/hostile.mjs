// A provider that misbehaves in every way that a test asks for. It signs what it is told to, honestly with jose and dishonestly by
// hand, and plays the endpoints of a provider: discovery, keys, authorization, token, userinfo, end of session. The calls are
// described in tests/it/harness/hostile_issuer.rs.

import * as crypto from 'node:crypto';
import * as jose from 'jose';
import { Log, start, text } from './control.mjs';

const now = () => Math.floor(Date.now() / 1000);
const encode = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** `base` with the members of `patch`; those that are null are gone. */
function patched(base, patch = {}) {
    const merged = { ...base, ...patch };
    return Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== null));
}

/** The keys by name. Those that are published are in the key set. */
class Keys {
    #keys = new Map();

    async make({ name, alg = 'RS256', kid = name, published = true, members = {} }) {
        const { publicKey, privateKey } = await jose.generateKeyPair(alg, { extractable: true });
        const jwk = patched({ ...(await jose.exportJWK(publicKey)), kid, alg, use: 'sig' }, members);
        this.#keys.set(name, { alg, kid, jwk, publicKey, privateKey, published });
        return jwk;
    }

    get(name) {
        const key = this.#keys.get(name);
        if (!key) throw new Error(`there is no key ${name}`);
        return key;
    }

    set() {
        return [...this.#keys.values()].filter((key) => key.published).map((key) => key.jwk);
    }
}

/** The public key in the forms that a careless verifier could take for a secret. */
async function asSecret(key, form) {
    const pem = await jose.exportSPKI(key.publicKey);
    switch (form) {
        case 'pem':
            return Buffer.from(pem);
        case 'pem-without-newline':
            return Buffer.from(pem.trimEnd());
        case 'der':
            return Buffer.from(pem.replace(/-----[^-]*-----|\s/g, ''), 'base64');
        case 'jwk':
            return Buffer.from(JSON.stringify(key.jwk));
        case 'modulus':
            return Buffer.from(key.jwk.n ?? key.jwk.x, 'base64url');
        case 'empty':
            return Buffer.alloc(0);
        default:
            throw new Error(`there is no form ${form}`);
    }
}

class Issuer {
    log = new Log();
    keys = new Keys();
    /** How each endpoint misbehaves, by its name. */
    behaviour = {};
    /** What a sign-in returns: see `sign_in` in the harness. */
    signIn = {};
    /** The ID token of the last sign-in. */
    lastIdToken = null;
    #codes = new Map();
    #refreshTokens = new Map();

    constructor(url) {
        this.url = url;
    }

    claims(patch) {
        return patched(
            { iss: this.url, sub: 'subject', iat: now(), exp: now() + 300, jti: crypto.randomUUID() },
            patch,
        );
    }

    /** What jose makes of a token: its claims. Fails as jose does. */
    async verify(token, audience) {
        const keys = jose.createRemoteJWKSet(new URL(`${this.url}/jwks`));
        return (await jose.jwtVerify(token, keys, { issuer: this.url, audience })).payload;
    }

    async mint({ key: name = 'first', header, claims, payload, sign = 'honest', form = 'pem', renamed }) {
        const key = this.keys.get(name);
        const body = payload ?? JSON.stringify(this.claims(claims));
        const wanted = patched({ alg: key.alg, kid: key.kid, typ: 'JWT' }, header);
        let token;
        if (sign === 'honest') {
            const signer = new jose.CompactSign(new TextEncoder().encode(body)).setProtectedHeader(wanted);
            token = await signer.sign(key.privateKey);
        } else {
            const input = `${encode(wanted)}.${encode(body)}`;
            token = `${input}.${(await this.#forge(sign, form, key, wanted, input)).toString('base64url')}`;
        }
        // The header is exchanged after the signature was made.
        return renamed ? [encode(patched(wanted, renamed)), ...token.split('.').slice(1)].join('.') : token;
    }

    async #forge(sign, form, key, { alg }, input) {
        switch (sign) {
            case 'none':
                return Buffer.alloc(0);
            case 'hmac': {
                const hash = { HS256: 'sha256', HS384: 'sha384', HS512: 'sha512' }[alg] ?? 'sha256';
                return crypto.createHmac(hash, await asSecret(key, form)).update(input).digest();
            }
            case 'random':
                return crypto.randomBytes(256);
            // As its key would, whatever the header says.
            case 'key': {
                const signer = new jose.CompactSign(Buffer.from(input.split('.')[1], 'base64url'));
                const other = await signer.setProtectedHeader({ alg: key.alg }).sign(key.privateKey);
                return Buffer.from(other.split('.')[2], 'base64url');
            }
            case 'raw':
                return crypto.sign('sha256', Buffer.from(input), key.privateKey);
            default:
                throw new Error(`there is no way ${sign} to sign`);
        }
    }

    discovery(base) {
        return {
            issuer: base,
            authorization_endpoint: `${base}/authorize`,
            token_endpoint: `${base}/token`,
            userinfo_endpoint: `${base}/userinfo`,
            end_session_endpoint: `${base}/end_session`,
            jwks_uri: `${base}/jwks`,
            response_types_supported: ['code'],
            subject_types_supported: ['public'],
            id_token_signing_alg_values_supported: ['RS256', 'ES256', 'EdDSA'],
            code_challenge_methods_supported: ['S256'],
            token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post', 'none'],
            authorization_response_iss_parameter_supported: true,
            backchannel_logout_supported: true,
        };
    }

    /** Redirects back at once, as if the person had signed in. */
    authorize(query, base) {
        const code = crypto.randomBytes(16).toString('hex');
        this.#codes.set(code, { ...query });
        const answer = patched({ code, state: query.state, iss: base }, this.signIn.response);
        const to = new URL(this.signIn.redirect ?? query.redirect_uri);
        for (const [name, value] of Object.entries(answer)) to.searchParams.append(name, value);
        return { status: 303, headers: { Location: to.href } };
    }

    async token(form, base) {
        const refused = (error) => ({ status: 400, json: { error } });
        let asked;
        if (form.grant_type === 'authorization_code') {
            asked = this.#codes.get(form.code);
            if (!asked) return refused('invalid_grant');
            if (!this.signIn.reusable_codes) this.#codes.delete(form.code);
            const challenge = crypto.createHash('sha256').update(form.code_verifier ?? '').digest('base64url');
            if (asked.code_challenge !== challenge || asked.code_challenge_method !== 'S256') return refused('invalid_grant');
            if (asked.redirect_uri !== form.redirect_uri) return refused('invalid_grant');
        } else if (form.grant_type === 'refresh_token') {
            asked = this.#refreshTokens.get(form.refresh_token);
            if (!asked) return refused('invalid_grant');
            this.#refreshTokens.delete(form.refresh_token);
            asked = { ...asked, nonce: undefined };
        } else {
            return refused('unsupported_grant_type');
        }
        const accessToken = crypto.randomBytes(16).toString('hex');
        const refreshToken = crypto.randomBytes(16).toString('hex');
        this.#refreshTokens.set(refreshToken, asked);
        const half = crypto.createHash('sha256').update(accessToken).digest().subarray(0, 16).toString('base64url');
        const usual = { iss: base, aud: asked.client_id, nonce: asked.nonce, auth_time: now(), at_hash: half };
        const { claims, ...how } = this.signIn.id_token ?? {};
        const idToken = await this.mint({ ...how, claims: patchedKeepingNull(usual, claims) });
        this.lastIdToken = idToken;
        const usualReply = { access_token: accessToken, token_type: 'Bearer', expires_in: 300, id_token: idToken };
        return { json: patched({ ...usualReply, refresh_token: refreshToken }, this.signIn.token) };
    }

    /** What an endpoint returns when it behaves. */
    async #honest(name, { url, body, base }) {
        const query = Object.fromEntries(url.searchParams);
        switch (name) {
            case 'discovery':
                return { json: this.discovery(base) };
            case 'jwks':
                return { json: { keys: this.keys.set() } };
            case 'authorize':
                return this.authorize(query, base);
            case 'token':
                return this.token(Object.fromEntries(new URLSearchParams(body)), base);
            case 'userinfo':
                return { json: patched({ sub: 'subject' }, this.signIn.userinfo) };
            case 'end_session':
                return query.post_logout_redirect_uri
                    ? { status: 303, headers: { Location: query.post_logout_redirect_uri } }
                    : { json: {} };
            case 'key':
                return { json: { keys: [this.keys.get(url.pathname.split('/').pop()).jwk] } };
            default:
                return { status: 404, json: { error: 'not_found' } };
        }
    }

    async handle(request, response) {
        const url = new URL(request.url, this.url);
        const { name, base } = this.#route(url.pathname);
        const body = await text(request);
        this.log.note(name, request, body);
        const how = this.behaviour[name] ?? {};
        // Nothing is ever sent.
        if (how.stall) return;
        if (how.close) return request.socket.destroy();
        if (how.redirect) {
            response.writeHead(302, { Location: how.redirect });
            return response.end();
        }
        if (how.endless) return endless(response);
        let { status = 200, json, headers = {} } = await this.#honest(name, { url, body, base });
        if (json && how.patch) json = patched(json, how.patch);
        if (json?.keys && how.more_keys) json.keys = [...manyKeys(how.more_keys), ...json.keys];
        let sent = how.body ?? (json ? JSON.stringify(json) : '');
        if (how.padding) sent = `${' '.repeat(how.padding)}${sent}`;
        const type = json ? { 'Content-Type': 'application/json' } : {};
        response.writeHead(how.status ?? status, { ...type, ...headers, ...how.headers });
        if (how.drip) return drip(response, sent, how.drip);
        response.end(sent);
    }

    /** An issuer may have a path: everything that belongs to it lies below. */
    #route(path) {
        const known = {
            '/.well-known/openid-configuration': 'discovery',
            '/jwks': 'jwks',
            '/authorize': 'authorize',
            '/token': 'token',
            '/userinfo': 'userinfo',
            '/end_session': 'end_session',
        };
        for (const [end, name] of Object.entries(known)) {
            if (path.endsWith(end)) return { name, base: this.url + path.slice(0, -end.length) };
        }
        return { name: path.startsWith('/keys/') ? 'key' : 'other', base: this.url };
    }
}

/** As `patched`, but null stays: so that the claim is removed later. */
const patchedKeepingNull = (base, patch = {}) => ({ ...base, ...patch });

/** Keys that fit nothing. */
function manyKeys(count) {
    const key = (index) => ({
        kty: 'RSA',
        e: 'AQAB',
        n: crypto.randomBytes(256).toString('base64url'),
        kid: `filler-${index}`,
        alg: 'RS256',
        use: 'sig',
    });
    return Array.from({ length: count }, (_, index) => key(index));
}

/** A key set that has no end. It is sent as fast as it is read. */
function endless(response) {
    response.writeHead(200, { 'Content-Type': 'application/json' });
    const some = ` ${JSON.stringify(manyKeys(20)).slice(1, -1)},`;
    response.write('{"keys":[');
    const more = () => {
        while (!response.destroyed && response.write(some));
        if (!response.destroyed) response.once('drain', more);
    };
    more();
}

/** One byte at a time. */
function drip(response, sent, every) {
    const bytes = Buffer.from(sent);
    let at = 0;
    const timer = setInterval(() => {
        if (response.destroyed || at >= bytes.length) {
            clearInterval(timer);
            response.end();
        } else {
            response.write(bytes.subarray(at, ++at));
        }
    }, every);
}

await start(async (url) => {
    const issuer = new Issuer(url);
    await issuer.keys.make({ name: 'first' });
    const calls = {
        key: (given) => issuer.keys.make(given),
        publish: ({ name, published }) => void (issuer.keys.get(name).published = published),
        mint: (given) => issuer.mint(given),
        verify: ({ token, audience }) => issuer.verify(token, audience),
        behave: ({ endpoint, how }) => void (issuer.behaviour[endpoint] = how),
        sign_in: ({ how }) => void (issuer.signIn = how),
        last_id_token: () => issuer.lastIdToken,
        counts: () => issuer.log.counts,
        requests: ({ endpoint }) => issuer.log.requests.filter(({ name }) => name === endpoint),
    };
    const handler = (request, response) =>
        issuer.handle(request, response).catch((error) => {
            console.error(error);
            response.destroy();
        });
    return { handler, calls };
});
