// The testbed's OpenID Connect provider: `node idp.mjs config.json`. start.go writes the
// configuration.
//
// The provider is a certified implementation with its development pages for login and consent. It
// accepts any password; the login is the name of a configured user. When it receives SIGHUP, it
// reads its keys again.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import Provider from 'oidc-provider';
import { createMemoryAdapter } from './node_modules/oidc-provider/lib/adapters/memory_adapter.js';

const config = JSON.parse(readFileSync(process.argv[2]));
const claimNames = new Set(['sub']);
for (const user of Object.values(config.users)) {
  for (const name of Object.keys(user.claims)) claimNames.add(name);
}

const adapter = createMemoryAdapter(); // stores logins and refresh tokens; they are kept when the keys change

// withKeys returns a new Provider with these keys, because the keys of a Provider cannot change. It
// signs with the first key.
const withKeys = (keys) => new Provider(config.issuer, {
  jwks: { keys },
  adapter,
  cookies: { keys: [config.cookieKey] },
  clients: config.clients.map((id) => ({
    client_id: id,
    token_endpoint_auth_method: 'none', // a public client, like kubectl's login plugins: PKCE protects the code
    redirect_uris: [config.redirectURI],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
  })),
  claims: { openid: [...claimNames] },
  conformIdTokenClaims: false, // put all claims into the ID token, because edge and Kubernetes read only that
  ttl: {
    IdToken: (ctx) => config.users[ctx.oidc.account.accountId].lifetimeSeconds,
    AccessToken: 3600,
    AuthorizationCode: 60,
    Grant: 3600,
    RefreshToken: 3600,
    Interaction: 3600,
    Session: 3600,
  },
  findAccount: (ctx, id) => {
    const user = config.users[id];
    return user && { accountId: id, claims: () => ({ sub: id, ...user.claims }) };
  },
});

let answer;
const readKeys = () => {
  const provider = withKeys(JSON.parse(readFileSync(config.keys)));
  provider.on('server_error', (ctx, err) => console.error(err));
  answer = provider.callback();
};
readKeys();
process.on('SIGHUP', readKeys);

createServer({ cert: readFileSync(config.cert), key: readFileSync(config.privateKey) }, (req, res) => {
  if (req.url === '/jwks') console.log('GET /jwks'); // KeyFetches in keys.go counts these lines
  answer(req, res);
})
  .listen(config.port, config.host);
