// The certified oidc-provider, with accounts, clients and keys that a test makes, and pages that need no script. The calls are
// described in tests/it/harness/oidc_provider.rs.

import * as crypto from 'node:crypto';
import * as jose from 'jose';
import Provider from 'oidc-provider';
import { Log, start, text } from './control.mjs';

/** What the provider keeps. It outlives the provider object, which is made anew when its keys change. */
const kept = new Map();

/** The store that oidc-provider is given, by kind of record. */
class Store {
    constructor(kind) {
        this.kind = kind;
    }

    static ofKind(kind) {
        const prefix = `${kind}:`;
        return [...kept].filter(([key]) => key.startsWith(prefix)).map(([, record]) => record);
    }

    async upsert(id, record) {
        kept.set(`${this.kind}:${id}`, record);
    }

    async find(id) {
        return kept.get(`${this.kind}:${id}`);
    }

    async findByUid(uid) {
        return Store.ofKind(this.kind).find((record) => record.uid === uid);
    }

    async findByUserCode(code) {
        return Store.ofKind(this.kind).find((record) => record.userCode === code);
    }

    async destroy(id) {
        kept.delete(`${this.kind}:${id}`);
    }

    async consume(id) {
        kept.get(`${this.kind}:${id}`).consumed = Math.floor(Date.now() / 1000);
    }

    async revokeByGrantId(grantId) {
        for (const [key, record] of kept) if (record.grantId === grantId) kept.delete(key);
    }
}

const escape = (value) => `${value}`.replace(/[&<>"']/g, (found) => `&#${found.charCodeAt(0)};`);

const page = (title, body) =>
    `<!doctype html><html lang="en"><meta charset="utf-8"><title>${escape(title)}</title><h1>${escape(title)}</h1>${body}</html>`;

/** Accounts by their subject: `{ password, claims }`. */
const accounts = new Map();

const findAccount = (_, sub) => {
    const account = accounts.get(sub);
    return account && { accountId: sub, claims: () => ({ ...account.claims, sub }) };
};

const newKey = async () => {
    const { privateKey } = await jose.generateKeyPair('RS256', { extractable: true });
    return { ...(await jose.exportJWK(privateKey)), kid: crypto.randomBytes(8).toString('hex'), alg: 'RS256', use: 'sig' };
};

class Server {
    log = new Log();
    #keys = [];
    #settings = { claims_in_id_token: true, rotate_refresh_tokens: true };
    #cookieKey = crypto.randomBytes(32).toString('hex');

    constructor(issuer) {
        this.issuer = issuer;
    }

    /** Makes the provider anew, by its keys and settings. */
    build() {
        const provider = new Provider(this.issuer, {
            adapter: Store,
            findAccount,
            jwks: { keys: this.#keys },
            cookies: { keys: [this.#cookieKey] },
            claims: {
                openid: ['sub'],
                email: ['email', 'email_verified'],
                profile: ['preferred_username', 'name', 'groups'],
                groups: ['groups'],
            },
            // Otherwise the claims of scopes are at the userinfo endpoint alone.
            conformIdTokenClaims: !this.#settings.claims_in_id_token,
            rotateRefreshToken: this.#settings.rotate_refresh_tokens,
            pkce: { required: () => true, methods: ['S256'] },
            interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
            ttl: { AccessToken: 300, IdToken: 300, RefreshToken: 86400, Session: 86400, Grant: 86400, Interaction: 3600 },
            features: {
                devInteractions: { enabled: false },
                backchannelLogout: { enabled: true },
                rpInitiatedLogout: {
                    enabled: true,
                    logoutSource: (ctx, form) => {
                        const button = '<button name="logout" value="yes" form="op.logoutForm">Sign out</button>';
                        ctx.body = page('Sign out of the provider?', `${form}${button}`);
                    },
                    postLogoutSuccessSource: (ctx) => {
                        ctx.body = page('Signed out of the provider', '');
                    },
                },
            },
            renderError: (ctx, out) => {
                ctx.type = 'html';
                const told = Object.entries(out).map(([name, value]) => `<p>${escape(name)}: ${escape(value)}</p>`);
                ctx.body = page('The provider refuses', told.join(''));
            },
        });
        provider.on('server_error', (_, error) => console.error(error));
        this.provider = provider;
        this.callback = provider.callback();
    }

    configure(settings) {
        Object.assign(this.#settings, settings);
        this.build();
    }

    /** Signs with a new key from now on. Those before are still published if they are kept. */
    async rotate({ keep = true } = {}) {
        this.#keys = [await newKey(), ...(keep ? this.#keys : [])];
        this.build();
    }

    async addClient(given) {
        const client = {
            application_type: 'web',
            grant_types: ['authorization_code', 'refresh_token'],
            response_types: ['code'],
            redirect_uris: [],
            token_endpoint_auth_method: given.client_secret ? 'client_secret_basic' : 'none',
            ...given,
        };
        await new Store('Client').upsert(client.client_id, client);
    }

    /** Ends the sessions of an account as its administrator would: each client is told. */
    async logout({ sub }) {
        const told = [];
        for (const session of Store.ofKind('Session').filter(({ accountId }) => accountId === sub)) {
            for (const [id, { sid }] of Object.entries(session.authorizations ?? {})) {
                const client = await this.provider.Client.find(id);
                if (client?.backchannelLogoutUri) {
                    const status = await client.backchannelLogout(sub, sid).then(
                        () => 200,
                        (error) => error.response?.statusCode ?? `${error}`,
                    );
                    told.push({ client_id: id, sid, status });
                }
            }
            kept.delete(`Session:${session.jti}`);
        }
        return told;
    }

    async handle(request, response) {
        const path = new URL(request.url, this.issuer).pathname;
        this.log.note(path.startsWith('/interaction/') ? '/interaction' : path, request);
        if (!path.startsWith('/interaction/')) return this.callback(request, response);
        const { prompt, params, session, grantId } = await this.provider.interactionDetails(request, response);
        if (request.method === 'GET') return this.#ask(response, path, prompt, params);
        const form = Object.fromEntries(new URLSearchParams(await text(request)));
        if (form.cancel !== undefined) {
            const refused = { error: 'access_denied', error_description: 'the person pressed Cancel' };
            return this.provider.interactionFinished(request, response, refused);
        }
        if (prompt.name === 'login') {
            const known = [...accounts].find(([, { claims }]) => claims.preferred_username === form.login);
            if (!known || known[1].password !== form.password) return this.#ask(response, path, prompt, params, 'Wrong name or password');
            const login = { login: { accountId: known[0] } };
            return this.provider.interactionFinished(request, response, login, { mergeWithLastSubmission: false });
        }
        const { Grant } = this.provider;
        const grant = grantId ? await Grant.find(grantId) : new Grant({ accountId: session.accountId, clientId: params.client_id });
        grant.addOIDCScope(prompt.details.missingOIDCScope?.join(' ') ?? params.scope);
        if (prompt.details.missingOIDCClaims) grant.addOIDCClaims(prompt.details.missingOIDCClaims);
        const consent = { consent: { grantId: await grant.save() } };
        return this.provider.interactionFinished(request, response, consent, { mergeWithLastSubmission: true });
    }

    #ask(response, path, prompt, params, wrong = '') {
        const cancel = '<button name="cancel" value="yes" formnovalidate>Cancel</button>';
        const fields =
            prompt.name === 'login'
                ? `<label>Name <input name="login" required></label>
                   <label>Password <input name="password" type="password" required></label><button>Sign in</button>`
                : `<p>${escape(params.client_id)} wants: ${escape(params.scope)}</p><button>Allow</button>`;
        const title = prompt.name === 'login' ? 'Sign in at the provider' : 'Allow access?';
        response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-store' });
        response.end(page(title, `<p>${escape(wrong)}</p><form method="post" action="${escape(path)}">${fields}${cancel}</form>`));
    }
}

await start(async (issuer) => {
    const server = new Server(issuer);
    await server.rotate();
    const calls = {
        client: (given) => server.addClient(given),
        account: ({ sub, password, claims }) => void accounts.set(sub, { password, claims }),
        remove_account: ({ sub }) => void accounts.delete(sub),
        configure: (settings) => server.configure(settings),
        rotate: (given) => server.rotate(given),
        logout: (given) => server.logout(given),
        counts: () => server.log.counts,
        requests: ({ endpoint }) => server.log.requests.filter(({ name }) => name === endpoint),
    };
    const handler = (request, response) =>
        server.handle(request, response).catch((error) => {
            console.error(error);
            if (!response.headersSent) response.writeHead(400, { 'Content-Type': 'text/plain' });
            response.end(`${error}`);
        });
    return { handler, calls };
});
