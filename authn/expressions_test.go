package authn

import "math/rand/v2"

// expressions are the CEL expressions in generated configurations. The expressions in good are
// right for most tokens. The ones in failing compile, but their evaluation fails or gives a value
// of the wrong type. The ones in invalid make the configuration invalid.
type expressions struct{ good, failing, invalid []string }

func (e expressions) pick(r *rand.Rand) string {
	from := e.good
	switch n := r.IntN(50); {
	case n == 0:
		from = e.invalid
	case n < 5:
		from = e.failing
	}
	return from[r.IntN(len(from))]
}

var notClaims = []string{
	`claims.`, `user.username`, `claims + 1`, `nosuch(claims.sub)`, `'open`, `claims.sub == `, `1 + 'a'`, `dyn(claims.groups).map(g)`,
	`claims.groups.filter(g, true)`, `[claims.sub, '']`, `claims.groups.sort()`,
}

var usernameExpressions = expressions{
	good: []string{
		`claims.sub`, `claims.sub`, `'u:' + claims.sub`, `claims.name`, `claims['name']`, `claims.?nick.orValue(claims.sub)`,
		`claims.sub.lowerAscii() + '@' + claims.tenant`, `has(claims.name) ? claims.name : claims.sub`, `claims.nested.id`,
		`claims.nested.a__dot__b`, `claims.dotted__dot__key`, `claims['dotted.key']`, `claims.groups[0]`, `claims.groups[?0].orValue('none')`,
		`claims.nested.objects[0].na__dot__me`, `claims.email`, `claims.email_verified ? claims.email : claims.sub`,
		`claims.roles.split(',')[0]`, `string(claims.num)`, `dyn(claims.groups).join('+')`, `claims.?nested.?id.orValue('nobody')`,
		`claims.sub.replace('a', 'o')`, `claims.size() > 5 ? claims.sub : 'few'`, `'system:' + claims.sub`,
		`type(claims.sub) == string ? 'text' : 'other'`,
	},
	failing: []string{
		`claims.missing`, `''`, `null`, `claims.num`, `optional.of('x')`, `dyn(claims)`, `claims.groups`, `claims.nick + claims.sub`,
		`claims.nested.nested.nested`, `claims.groups[7]`, `int(claims.sub) > 0 ? 'a' : 'b'`, `claims.tenant == 'acme' ? '' : 'x'`,
	},
	invalid: notClaims,
}

var uidExpressions = expressions{
	good: []string{
		`claims.uid`, `claims.uid`, `claims.?uid.orValue('')`, `claims.sub + '/' + claims.uid`, `string(int(claims.num))`, `claims.nested.id`, `''`,
	},
	failing: []string{`null`, `claims.num`, `claims.jti`, `claims.groups`, `b'bytes'`, `claims.missing`},
	invalid: notClaims,
}

// listExpressions are CEL expressions that compute groups and extra values.
var listExpressions = expressions{
	good: []string{
		`claims.groups`, `claims.groups`, `dyn(claims.groups).map(g, 'g:' + g)`, `dyn(claims.groups).filter(g, g.startsWith('d'))`,
		`[string(claims.sub), '']`, `claims.roles.split(',')`, `claims.?groups.orValue([])`, `claims.nested.list`,
		`dyn(claims.nested.list).filter(x, x != '')`, `dyn(claims.nested.objects).map(o, o.name)`,
		`dyn(claims.nested.objects).map(o, o.na__dot__me)`, `claims.nested.a__dot__b`, `dyn(claims.groups) + [dyn(claims.sub)]`, `claims.tenant`,
		`claims.tenant`, `''`, `[]`, `null`, `claims.flag ? ['admins'] : []`, `claims.flag ? 'admins' : ''`,
		`dyn(claims.groups).map(g, claims.tenant)`, `has(claims.groups) ? claims.groups : ['none']`, `claims.dotted__dot__key`,
		`claims.?nested.list.orValue(['d'])`, `claims.sub.split('')`,
		`dyn(claims.groups).exists(g, g == 'ops') ? ['operators', string(claims.sub)] : [string(claims.sub)]`,
	},
	failing: []string{
		`claims.missing`, `[dyn(claims.sub), dyn(1)]`, `[[string(claims.sub)]]`, `{'a': 'b'}`, `claims.num`, `claims`, `claims.nested`, `optional.none()`,
		`true`, `duration('1h')`, `claims.nested.objects`, `dyn(claims.groups).map(g, 1)`, `dyn(claims.sub).map(g, g)`, `[optional.of('x')]`,
	},
	invalid: notClaims,
}

var claimRules = expressions{
	good: []string{
		`claims.hd == 'x.example'`, `claims.email_verified == true`, `!has(claims.email_verified) || claims.email_verified == true`,
		`'dev' in claims.groups`, `has(claims.groups) && claims.groups.size() < 4`, `!has(claims.blocked)`, `claims.sub.matches('^[a-z]+$')`,
		`claims.nested.ok == true`, `claims.nested.a__dot__b == 'dot'`, `int(claims.num) > 3`, `claims.num > 3`, `claims.num == 5.0`,
		`claims.exp - claims.iat <= 86400.0`, `dyn(claims.groups).all(g, g != 'root')`, `true`, `claims.?tenant.orValue('') != 'Evil Corp'`,
		`claims.all(k, k != 'blocked')`, `claims.exists(k, k == 'sub')`, `dyn(claims.groups).exists_one(g, g == 'dev')`,
		`claims.tenant in ['acme', 'beta']`, `[1, 2, 3].all(a, [4, 5, 6].all(b, a < b))`, `claims.flag == true`,
		`dyn(claims.nested.objects).all(o, o.name.startsWith('o'))`, `url('https://' + claims.hd).getHostname() == 'x.example'`,
	},
	failing: []string{
		`claims.missing == 'x'`, `1 / 0 == 1`, `claims.exp - claims.iat <= 86400`, `false`, `claims.groups == 'dev'`, `claims.sub.matches(claims.hd)`,
		`quantity(claims.sub).isInteger()`, `claims.nested.objects[0].name == 'o2'`,
	},
	invalid: []string{`claims.sub`, `'text'`, `claims.sub == user.username`, `1`, `true &&`, `claims.groups.all(g, true)`},
}

// costly is an expression that exceeds CEL's cost limit.
const costly = `[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, ` +
	`[1,2,3,4,5,6,7,8,9,10].all(e, [1,2,3,4,5,6,7,8,9,10].all(f, a + b + c + d + e + f > 0))))))`

var userRules = expressions{
	good: []string{
		`!user.username.startsWith('system:')`, `!user.username.startsWith('system:')`, `user.groups.all(g, !g.startsWith('system:'))`,
		`user.uid == '' || user.uid.startsWith('u')`, `user.extra.all(k, k.contains('/'))`, `user.groups.size() < 3`, `has(user.uid)`,
		`'dev' in user.groups || size(user.groups) == 0`, `user.extra[?'example.com/k0'].orValue([]).size() < 3`, `true`, `user.username.size() > 3`,
		`!('example.com/k0' in user.extra) || user.extra.example__dot__com__slash__k0.size() > 0`,
	},
	failing: []string{
		`user.uid != ''`, `user.extra['example.com/k0'][0] == 'dev'`, `user.extra['example.com/k1'].exists(v, v == 'acme')`, `user.username == 'joe'`,
		`user.extra.example__dot__com__slash__k0.size() > 0`, `false`, `'example.com/k0' in user.extra`, `user.groups[9] == ''`,
	},
	invalid: []string{`user.nosuch == ''`, `claims.sub == 'x'`, `user.username`, ``, `user.groups.map(g, g)`},
}
