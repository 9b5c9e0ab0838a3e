// The functions that the tests run in a web page. They use only the browser's own WebSocket and
// fetch. Each function returns what the page observed; the test checks it.

// patience is the timeout of a function, in ms. After it, the page closes its WebSocket with the
// code impatient and returns what it has received.
const patience = 90_000;
const impatient = 4000;

// credential returns the subprotocol that contains the token, because a page cannot set
// Authorization on a WebSocket.
const credential = (token) =>
  'base64url.bearer.authorization.k8s.io.' + btoa(token).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');

// Session is a WebSocket whose messages consist of a channel's number and a payload.
class Session {
  opened = false;
  protocol = ''; // the agreed subprotocol
  close = 0; // close code; 0: open
  channels = {}; // received payloads by channel number
  #changed = [];

  constructor({ url, token, subprotocol }) {
    this.base64 = subprotocol.includes('base64');
    this.ws = new WebSocket(url, token ? [subprotocol, credential(token)] : [subprotocol]);
    this.ws.binaryType = 'arraybuffer';
    setTimeout(() => this.ws.close(impatient), patience);
    this.ws.onopen = () => this.#change(() => { this.opened = true; this.protocol = this.ws.protocol; });
    this.ws.onclose = (event) => this.#change(() => { this.close = event.code; });
    this.ws.onmessage = (event) => this.#change(() => this.receive(event.data));
  }

  #change(how) {
    how();
    this.#changed = this.#changed.filter((check) => !check());
  }

  // until waits until condition returns true or the session ends.
  until(condition) {
    return new Promise((resolve) => {
      const check = () => (condition() || this.close) && (resolve(), true);
      if (!check()) this.#changed.push(check);
    });
  }

  // started waits until the handshake has succeeded or failed.
  started() { return this.until(() => this.opened); }

  ended() { return this.until(() => false); }

  receive(data) {
    const [channel, bytes] = this.base64
      ? [data.charCodeAt(0) - 48, Uint8Array.from(atob(data.slice(1)), (c) => c.charCodeAt(0))]
      : [new Uint8Array(data)[0], new Uint8Array(data, 1)];
    (this.channels[channel] ??= []).push(bytes);
  }

  send(channel, payload) {
    const bytes = typeof payload === 'string' ? new TextEncoder().encode(payload) : payload;
    this.ws.send(this.base64 ? channel + btoa(String.fromCharCode(...bytes)) : Uint8Array.of(channel, ...bytes));
  }

  sendAll(channel, bytes) {
    const most = 32 << 10; // the same size as kubectl's messages
    for (let at = 0; at < bytes.length; at += most) this.send(channel, bytes.subarray(at, at + most));
  }

  halfClose(channel) { this.ws.send(Uint8Array.of(255, channel)); }

  count(channel) { return (this.channels[channel] ?? []).reduce((n, bytes) => n + bytes.length, 0); }

  bytes(channel) {
    const all = new Uint8Array(this.count(channel));
    let at = 0;
    for (const bytes of this.channels[channel] ?? []) { all.set(bytes, at); at += bytes.length; }
    return all;
  }

  text(channel) { return new TextDecoder().decode(this.bytes(channel)); }

  // report returns everything that was observed of a command.
  report() {
    const { opened, protocol, close } = this;
    return { opened, protocol, close, stdout: this.text(stdout), stderr: this.text(stderr), status: this.text(error) };
  }
}

const [stdin, stdout, stderr, error, resize] = [0, 1, 2, 3, 4];

// random returns size random bytes; getRandomValues returns at most 64 KiB per call.
function random(size) {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; at += 1 << 16) crypto.getRandomValues(bytes.subarray(at, at + (1 << 16)));
  return bytes;
}

async function hash(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

globalThis.verbs = {
  // talk runs exec or attach: it sends args.stdin if present and reads until the session ends.
  async talk(args) {
    const session = new Session(args);
    await session.started();
    if (session.opened && args.stdin) session.send(stdin, args.stdin);
    await session.ended();
    return session.report();
  },

  // halfClose sends args.size bytes, half-closes stdin and reads until the session ends.
  async halfClose(args) {
    const session = new Session(args);
    await session.started();
    const sent = random(args.size);
    if (session.opened) {
      session.sendAll(stdin, sent);
      session.halfClose(stdin);
    }
    await session.ended();
    return { ...session.report(), stdout: '', sent: await hash(sent), echoed: await hash(session.bytes(stdout)) };
  },

  // terminal changes the terminal's size and waits until the command sees it, for each size. Then
  // the command exits with 5.
  async terminal(args) {
    const session = new Session(args);
    await session.started();
    for (const { Width, Height } of args.sizes) {
      if (session.close) break;
      session.send(resize, JSON.stringify({ Width, Height }));
      session.send(stdin, `until [ "$(stty size)" = "${Height} ${Width}" ]; do sleep 0.1; done; echo the size is $(stty size)\n`);
      await session.until(() => session.text(stdout).includes(`the size is ${Height} ${Width}`));
    }
    if (!session.close) session.send(stdin, 'exit 5\n');
    await session.ended();
    return session.report();
  },

  // portForward uses three connections at the same time: one fetches a page, one has bytes echoed,
  // and on one the port is closed, so the error channel gets a message. Each connection has a data
  // and an error channel. Each channel begins with its port in two bytes.
  async portForward(args) {
    const session = new Session(args);
    await session.started();
    const sent = random(args.size);
    if (session.opened) {
      session.send(0, 'GET / HTTP/1.1\r\nHost: pod\r\n\r\n');
      session.sendAll(2, sent);
    }
    await session.until(() => session.text(0).endsWith(args.page) && session.count(2) === 2 + sent.length && session.count(5) > 2);
    session.ws.close(1000);
    await session.ended();
    const { opened, protocol, close } = session;
    const ports = [];
    for (let channel = 0; channel < 6; channel++) {
      const [low, high] = session.bytes(channel);
      ports.push(low + 256 * high);
    }
    return {
      opened, protocol, close, ports, sent: await hash(sent), echoed: await hash(session.bytes(2).subarray(2)),
      page: session.text(0), said: [1, 3, 5].map((channel) => new TextDecoder().decode(session.bytes(channel).subarray(2))),
    };
  },

  // follow reads a log until it has args.lines lines. A log has no channels: each message is base64
  // of the next bytes.
  follow({ url, token, subprotocol, lines }) {
    const ws = new WebSocket(url, [subprotocol, credential(token)]);
    return new Promise((resolve) => {
      let text = '';
      const report = (close) => resolve({ protocol: ws.protocol, close, text });
      ws.onmessage = (event) => {
        text += atob(event.data);
        if (text.split('\n').length > lines) report(0);
      };
      setTimeout(() => ws.close(impatient), patience);
      ws.onclose = (event) => report(event.code);
    });
  },

  // write sends a POST by fetch and by a form, as any page can without permission, with the cookies
  // and certificates that the browser adds. The page cannot see whether the writes succeeded.
  async write({ url, body }) {
    const own = { mode: 'no-cors', credentials: 'include', signal: AbortSignal.timeout(patience) };
    await fetch(url + '&by=fetch', { ...own, method: 'POST', body: new Blob([body]) }).catch(() => {}); // without a Content-Type, which an API server takes as JSON
    const frame = document.createElement('iframe');
    frame.name = 'answer';
    const form = document.createElement('form');
    Object.assign(form, { method: 'POST', action: url + '&by=form', enctype: 'text/plain', target: frame.name });
    document.body.append(frame, form);
    const isAnswer = () => { // ignores the frame's initial empty page, whose load event may come late
      try { return frame.contentWindow.location.href !== 'about:blank'; } catch { return true; } // access fails: the answer is from another origin
    };
    const answered = new Promise((resolve) => { frame.onload = () => { if (isAnswer()) resolve(); }; setTimeout(resolve, patience); });
    form.submit();
    await answered;
    return {};
  },

  // look returns the origin and the title of the page.
  look() { return { origin: self.origin, title: document.title }; },

  // ask sends requests with fetch, one after the other, and returns what the page may read of each
  // answer.
  async ask({ url, token, requests }) {
    const answers = [];
    for (const { method, path, body, credentials } of requests) {
      const headers = { ...(token && { Authorization: 'Bearer ' + token }), ...(body && { 'Content-Type': 'application/json' }) };
      try {
        const answer = await fetch(url + path, { method, headers, body: body || undefined, credentials, signal: AbortSignal.timeout(patience) });
        answers.push({ status: answer.status, audit: answer.headers.get('Audit-Id') ?? '', body: await answer.text() });
      } catch (error) {
        answers.push({ error: String(error) });
      }
    }
    return { answers };
  },
};
