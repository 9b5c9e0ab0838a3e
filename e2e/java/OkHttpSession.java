import java.io.IOException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.X509TrustManager;
import okhttp3.OkHttpClient;
import okhttp3.Protocol;
import okhttp3.Request;
import okhttp3.Response;
import okhttp3.WebSocket;
import okhttp3.WebSocketListener;
import okio.ByteString;

/**
 * A session with the headers, frames and pings of the official Java client
 * (io.kubernetes:client-java). That client uses a later OkHttp, which offers compression.
 */
abstract class OkHttpSession extends WebSocketListener {
    /**
     * Largest message, as in the official client: OkHttp closes a session if more than 16 MiB wait
     * to be sent.
     */
    private static final int MESSAGE = 15 << 20;

    private static final long QUEUE = 16L << 20;
    private static final Duration QUEUE_WAIT = Duration.ofMinutes(3);
    private static final Duration OPEN_WAIT = Duration.ofMinutes(3);
    private static final int PING_SECONDS = 60;
    private static final int NORMAL = 1000; // RFC 6455, section 7.4.1
    private static final int PROTOCOL_ERROR = 1002;

    /** Completes with the subprotocol that the server chose. */
    final CompletableFuture<String> opened = new CompletableFuture<>();

    /** Completes with the server's close code. */
    final CompletableFuture<Integer> closed = new CompletableFuture<>();

    private WebSocket socket;

    OkHttpSession() {
        // Exit on an exception in any thread: OkHttp's threads would keep the process running.
        Thread.setDefaultUncaughtExceptionHandler((thread, e) -> {
            e.printStackTrace();
            System.exit(1);
        });
    }

    /** Receives a message: its channel and the bytes after the channel's byte. */
    abstract void received(int channel, byte[] data);

    /** Connects and returns the subprotocol that the server chose. */
    String open(String path) throws Exception {
        X509TrustManager trust = Server.trust();
        OkHttpClient client = new OkHttpClient.Builder()
            .sslSocketFactory(Server.tls(trust).getSocketFactory(), trust)
            .protocols(List.of(Protocol.HTTP_1_1))
            .pingInterval(PING_SECONDS, TimeUnit.SECONDS)
            .build();
        Request request = new Request.Builder()
            .url(Server.URL + path)
            .header("Authorization", Server.AUTHORIZATION)
            .header("Sec-WebSocket-Protocol", Channels.V5 + "," + Channels.V4)
            .header("Sec-WebSocket-Extensions", "permessage-deflate")
            .header("Connection", "Upgrade")
            .header("Upgrade", "SPDY/3.1") // OkHttp replaces it with websocket
            .build();
        socket = client.newWebSocket(request, this);
        return opened.get(OPEN_WAIT.toSeconds(), TimeUnit.SECONDS);
    }

    void write(int channel, byte[] data) throws Exception {
        for (int at = 0; at < data.length; ) {
            int n = Math.min(data.length - at, MESSAGE);
            byte[] message = new byte[1 + n];
            message[0] = (byte) channel;
            System.arraycopy(data, at, message, 1, n);
            awaitQueue(QUEUE - message.length);
            send(message);
            at += n;
        }
    }

    /** Half-closes a channel if the dialect is v5. */
    void end(int channel) throws Exception {
        if (Channels.V5.equals(opened.get())) {
            send(new byte[] {(byte) Channels.CLOSE, (byte) channel});
        }
    }

    void close() throws Exception {
        socket.close(NORMAL, "Triggered client-side terminate");
    }

    private void send(byte[] message) throws IOException {
        if (!socket.send(ByteString.of(message))) {
            throw new IOException("OkHttp did not accept a message: the session is closing");
        }
    }

    /**
     * Waits until at most `most` bytes wait to be sent. It polls as the official client does:
     * OkHttp offers nothing else.
     */
    private void awaitQueue(long most) throws IOException, InterruptedException {
        long deadline = System.nanoTime() + QUEUE_WAIT.toNanos();
        while (socket.queueSize() > most) {
            if (System.nanoTime() > deadline) {
                throw new IOException("the queue was not sent within " + QUEUE_WAIT);
            }
            Thread.sleep(10);
        }
    }

    @Override
    public void onOpen(WebSocket socket, Response response) {
        if (response.header("Sec-WebSocket-Extensions") != null) {
            onFailure(socket, new IOException("the server accepted compression: " + response.headers()), response);
            return;
        }
        opened.complete(response.header("Sec-WebSocket-Protocol", "missing"));
    }

    @Override
    public void onMessage(WebSocket socket, String text) {
        onFailure(socket, new IOException("received a text message, but a Kubernetes server sends only binary messages: " + text), null);
    }

    @Override
    public void onMessage(WebSocket socket, ByteString message) {
        received(message.getByte(0) & 0xff, message.substring(1).toByteArray());
    }

    @Override
    public void onClosing(WebSocket socket, int code, String reason) {
        socket.close(code == NORMAL ? NORMAL : PROTOCOL_ERROR, null);
    }

    @Override
    public void onClosed(WebSocket socket, int code, String reason) {
        closed.complete(code);
    }

    @Override
    public void onFailure(WebSocket socket, Throwable cause, Response response) {
        opened.completeExceptionally(cause);
        closed.completeExceptionally(cause);
        socket.cancel();
    }
}
