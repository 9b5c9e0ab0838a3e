// The testbed's OpenID Connect provider: `node idp.mjs config.json`. See start.go for the configuration.
//
// It is a certified implementation with its development pages for login and consent: any password is right, and the
// login is the name of one of the configured users. SIGHUP makes it read its keys again.
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import Provider from 'oidc-provider';
import { createMemoryAdapter } from './node_modules/oidc-provider/lib/adapters/memory_adapter.js';

const config = JSON.parse(readFileSync(process.argv[2]));
const claimNames = new Set(['sub']);
for (const user of Object.values(config.users)) {
  for (const name of Object.keys(user.claims)) claimNames.add(name);
}

const adapter = createMemoryAdapter(); // of logins and refresh tokens, which outlive a rotation of keys

// A provider's keys never change, so other keys take another provider. It signs with the first key that fits.
const withKeys = (keys) => new Provider(config.issuer, {
  jwks: { keys },
  adapter,
  cookies: { keys: [config.cookieKey] },
  clients: config.clients.map((id) => ({
    client_id: id,
    token_endpoint_auth_method: 'none', // a public client, as kubectl's login plugins are: PKCE protects the code
    redirect_uris: [config.redirectURI],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
  })),
  claims: { openid: [...claimNames] },
  conformIdTokenClaims: false, // all claims into the ID token, which is what Kubernetes reads
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
  if (req.url === '/jwks') console.log('GET /jwks'); // tests count them
  answer(req, res);
})
  .listen(config.port, '127.0.0.1');
